"""Fitting an accuracy predictor on measured archs (scikit-learn)."""

from __future__ import annotations

import numpy as np

from mcofa.arch import Arch
from mcofa.errors import McofaError
from mcofa.predictor import Floats, Predictor, Provenance, features
from mcofa.space import SearchSpace

_FOLDS = 10
_FEWEST_ARCHS = 3 * _FOLDS


class TooFewArchsError(McofaError):
    """Not enough measurements to fit and cross-validate a predictor."""


def fit_predictor(space: SearchSpace, measured: list[tuple[Arch, float]], measured_on: str) -> Predictor:
    """Fit Bayesian ridge regression and cross-validate it in ten folds.

    ``measured`` holds archs and their top-1 accuracy in percent; ``measured_on`` says on
    which checkpoint and data.

    Raises:
        TooFewArchsError: fewer than 30 archs.
    """
    from scipy.stats import kendalltau
    from sklearn.linear_model import BayesianRidge
    from sklearn.model_selection import KFold, cross_val_predict

    if len(measured) < _FEWEST_ARCHS:
        raise TooFewArchsError(
            f"{len(measured)} measured archs, at least {_FEWEST_ARCHS} are needed",
            "measure more with `mcofa measure CHECKPOINT --count N`",
        )
    inputs = features(space, space.encode([arch for arch, _ in measured]))
    top1_percent: Floats = np.array([top1 for _, top1 in measured])
    mean_features = inputs.mean(0)
    centred = inputs - mean_features
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    held_out = cross_val_predict(BayesianRidge(), centred, top1_percent, cv=folds)
    model = BayesianRidge().fit(centred, top1_percent)
    return Predictor(
        provenance=Provenance(
            space=space.name,
            measured_archs=len(measured),
            lowest_top1_percent=float(top1_percent.min()),
            highest_top1_percent=float(top1_percent.max()),
            rmse_points=round(float(np.sqrt(np.mean((held_out - top1_percent) ** 2))), 4),
            kendall_tau=round(float(kendalltau(held_out, top1_percent).statistic), 4),
            measured_on=measured_on,
        ),
        mean_features=mean_features,
        weights=model.coef_,
        covariance=model.sigma_,
        intercept=float(model.intercept_),
        noise_points=float(model.alpha_**-0.5),
    )
