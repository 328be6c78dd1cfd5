"""Differential privacy: plan, sampling, noise, accounting, ledger and statement of a run.

`settings` makes one frozen `plan` of the user's settings; `sampling` and `noise` execute it,
`ledger` records its events (`dp_events`) before they run, `accounting` computes ε from them, and
`statement` says what the guarantee covers. `outputs` lists every output of a run with its coverage,
and `publication` applies the list. `recorded_losses` and `search_accounting` are about several
runs. The package imports no TensorFlow; clipping is in `ecgexp.clipping`, training in
`ecgexp.training`.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.privacy.accounting import epsilon as epsilon
    from ecgexp.privacy.calibration import calibrate_noise as calibrate_noise
    from ecgexp.privacy.feasibility import Feasibility as Feasibility
    from ecgexp.privacy.feasibility import feasibility_of as feasibility_of
    from ecgexp.privacy.hypothetical import HypotheticalPopulation as HypotheticalPopulation
    from ecgexp.privacy.journal import Journal as Journal
    from ecgexp.privacy.ledger import Ledger as Ledger
    from ecgexp.privacy.ledger import PrivacyViolation as PrivacyViolation
    from ecgexp.privacy.noise import NoiseSource as NoiseSource
    from ecgexp.privacy.noise_checks import NoiseStatistics as NoiseStatistics
    from ecgexp.privacy.plan import PrivacyPlan as PrivacyPlan
    from ecgexp.privacy.sampling import Draw as Draw
    from ecgexp.privacy.sampling import Sampler as Sampler
    from ecgexp.privacy.search_accounting import SearchPrivacyLoss as SearchPrivacyLoss
    from ecgexp.privacy.search_accounting import search_privacy_loss as search_privacy_loss
    from ecgexp.privacy.settings import NotPrivate as NotPrivate
    from ecgexp.privacy.settings import PrivacySpec as PrivacySpec
    from ecgexp.privacy.spent import PrivacySpent as PrivacySpent
    from ecgexp.privacy.statement import PrivacyStatement as PrivacyStatement
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
