"""Parts of the benchmarks that compare trainings: arms, exams, cached token states, trainings, and the report."""
