"""The forms of question files: how columns become questions. CONTRIBUTING.md says how to add one."""

from llmtuner.data.forms import arc, kaggle, scienceqa
from llmtuner.data.forms.form import Form

FORMS: dict[str, Form] = {"kaggle": kaggle.FORM, "arc": arc.FORM, "scienceqa": scienceqa.FORM}
KNOWN_COLUMNS = frozenset(name for form in FORMS.values() for name in form.columns)
