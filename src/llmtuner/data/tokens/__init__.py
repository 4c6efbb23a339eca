"""Questions as token ids. Every encoder of prompts has one protocol (`encoder.py`): encode, to_json, from_json."""
