"""Questions as token ids. All prompt encoders share a protocol (`encoder.py`): encode, to_json, from_json."""
