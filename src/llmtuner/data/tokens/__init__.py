"""Questions as token ids: the encoders of prompts, one for each kind of prompt."""
