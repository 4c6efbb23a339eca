"""The forms of question files: how columns become questions. CONTRIBUTING.md says how to add one."""

from llmtuner.data.forms import (
    agieval,
    ai2,
    ai2_nested,
    aqua,
    belebele,
    ceval,
    choices,
    cmmlu,
    copa,
    cosmosqa,
    dream,
    global_mmlu,
    gpqa,
    hellaswag,
    kaggle,
    kmmlu,
    lm_eval,
    logiqa,
    medmcqa,
    medqa,
    mmlu,
    mmlu_pro,
    mmlu_redux,
    openbookqa,
    options_list,
    piqa,
    qasc,
    qasc_nested,
    race,
    reclor,
    scienceqa,
    sciq,
    siqa,
    swag,
    truthfulqa,
    winogrande,
)
from llmtuner.data.forms.form import Form

_MODULES = (
    kaggle, lm_eval, choices, options_list, ceval, cmmlu, scienceqa, mmlu, mmlu_pro, mmlu_redux, ai2, ai2_nested,
    openbookqa, qasc, race, agieval, dream, sciq, gpqa, medqa, medmcqa, hellaswag, swag, truthfulqa, kmmlu,
    global_mmlu, qasc_nested, aqua, belebele, reclor, logiqa, cosmosqa, siqa, copa, piqa, winogrande,
)  # fmt: skip
FORMS: dict[str, Form] = {module.FORM.name: module.FORM for module in _MODULES}
# A file of no known form is compared with these: its columns are probably meant as one of them.
COMMON = ("kaggle", "choices", "lm_eval")
