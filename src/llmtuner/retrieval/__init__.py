"""Open book: a corpus becomes chunks, an index finds them, and they fill the context of questions."""
