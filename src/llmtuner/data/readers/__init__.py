"""One reader a file type: bytes in, records with line numbers out. Adding one: CONTRIBUTING.md."""

from llmtuner.data.readers import csv_file, json_file, jsonl_file, parquet_file

READERS = {
    ".csv": csv_file.read,
    ".jsonl": jsonl_file.read,
    ".json": json_file.read,
    ".parquet": parquet_file.read,
}
