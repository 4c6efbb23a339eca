"""The forms of question files: how columns become questions. CONTRIBUTING.md says how to add one."""

from llmtuner.data.forms import (
    agieval,
    ai2,
    ai2_nested,
    ceval,
    choices,
    cmmlu,
    dream,
    gpqa,
    hellaswag,
    kaggle,
    lm_eval,
    medmcqa,
    medqa,
    mmlu,
    mmlu_pro,
    openbookqa,
    options_list,
    qasc,
    race,
    scienceqa,
    sciq,
    swag,
    truthfulqa,
)
from llmtuner.data.forms.form import Form

_MODULES = (
    kaggle, lm_eval, choices, options_list, ceval, cmmlu, scienceqa, mmlu, mmlu_pro, ai2, ai2_nested, openbookqa, qasc,
    race, agieval, dream, sciq, gpqa, medqa, medmcqa, hellaswag, swag, truthfulqa,
)  # fmt: skip
FORMS: dict[str, Form] = {module.FORM.name: module.FORM for module in _MODULES}
# A file of no known form is compared with these: its columns are probably meant as one of them.
COMMON = ("kaggle", "choices", "lm_eval")
