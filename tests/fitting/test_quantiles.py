"""Student's t, Fisher's F and the incomplete beta function against scipy's."""

import pytest
from scipy import special

from lawful.fitting.quantiles import chi_squared_quantile, f_tail, incomplete_beta, normal_quantile, t_cdf, t_quantile


@pytest.mark.parametrize("dof", [1.0, 1.7, 3.0, 8.5, 40.0, 1000.0])
def test_students_t_agrees_with_scipy(dof):
    for probability in (0.005, 0.025, 0.5, 0.9, 0.975, 0.9995):
        assert t_quantile(probability, dof) == pytest.approx(special.stdtrit(dof, probability), rel=1e-9, abs=1e-12)
    for t in (-40.0, -2.0, 0.0, 0.3, 5.0):
        assert t_cdf(t, dof) == pytest.approx(special.stdtr(dof, t), rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("dof", [9e6, 1e9, 1e25, float("inf")])
def test_of_very_many_degrees_of_freedom_students_t_is_the_normal(dof):
    """As a prior of a tiny error leaves them."""
    assert t_quantile(0.975, dof) == pytest.approx(normal_quantile(0.975), rel=1e-6)
    assert t_cdf(-1.96, dof) == pytest.approx(0.0249979, rel=1e-5)


@pytest.mark.parametrize(("dof", "error"), [(1, 3.3), (2, 20), (7, 200.5), (100, 5)])
def test_fishers_f_agrees_with_scipy(dof, error):
    for ratio in (0.01, 0.8, 3.0, 50.0, 1e4):
        assert f_tail(ratio, dof, error) == pytest.approx(special.fdtrc(dof, error, ratio), rel=1e-9, abs=1e-300)
    assert f_tail(0.0, dof, error) == 1.0


def test_the_rest_agrees_with_scipy():
    assert normal_quantile(0.975) == pytest.approx(special.ndtri(0.975), rel=1e-12)
    for x in (0.0, 1e-6, 0.3, 0.5, 0.999, 1.0):
        assert incomplete_beta(x, 2.5, 0.5) == pytest.approx(special.betainc(2.5, 0.5, x), rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("dof", [1, 3, 8.5, 40, 1000])
def test_chi_squared_agrees_with_scipy(dof):
    for probability in (0.001, 0.025, 0.5, 0.975, 0.999):
        exact = special.chdtri(dof, 1 - probability)
        assert chi_squared_quantile(probability, dof) == pytest.approx(exact, rel=1e-8)
