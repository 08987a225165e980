"""The steps of penalties."""

import numpy as np

from microtensor.learn.steps import Case, Wrong, forward, gradient, output_of, step

LAM = 0.3
EDGES = np.array([0.5, -0.5, 0.0, 0.2, -0.2, 1000.0, -1000.0, 0.5000001, -0.4999999])      # of shrink, with t = 0.5
STEPS = 300         # of training
OF_HALF = "the task asks for lam / 2 times the sum of the squares"


def l1(theta, lam):
    return lam * np.sum(np.abs(theta))


def l2(theta, lam):
    return lam / 2 * np.sum(theta**2)


def shrink(theta, t):
    return theta - np.clip(theta, -t, t)


def proximal_step(theta, g, lr, lam):
    return shrink(theta - lr * g, lr * lam)


def check(answer, draw):
    theta, other = draw.nonzero(3, 5), draw.nonzero(7)
    three_axes, kinks = draw.nonzero(2, 3, 5), draw.nonzero(3, 5)
    kinks[0, 1] = kinks[2, 2] = 0

    for name, reference, why in (("l1", l1, ""), ("l2", l2, OF_HALF)):
        yield forward(answer, name, reference, Case(theta, LAM, why=why), Case(other, 2.0, why=why),
                      Case(three_axes, LAM, why=why), Case(np.array([1000.0, -1000.0, 0.0]), LAM, why=why),
                      Case(theta, 0.0, why="lam is 0 here"), Case(np.zeros(5), LAM, why="theta is all 0 here"),
                      step_name=f"forward {name}")
        for x, lam in ((theta, LAM), (three_axes, 2.0)):
            yield gradient(answer, name, f"{name}_backward", [x], ("theta",), others=(lam,), why=f"lam is {lam} here",
                           step_name=f"gradient {name}")
        if name == "l1":
            yield gradient(answer, name, f"{name}_backward", [kinks], ("theta",), others=(LAM,),
                           why=f"lam is {LAM} here, and theta[0, 1] and theta[2, 2] are 0", step_name="kinks l1")

    small = draw(3, 5) / 4
    yield forward(answer, "shrink", shrink, Case(theta, 0.5, why="t is 0.5 here"),
                  Case(three_axes, 1.3, why="t is 1.3 here"), Case(EDGES, 0.5, why="t is 0.5 here"),
                  Case(theta, 0.0, why="t is 0 here, and what minimises (z - theta)^2 / 2 is theta itself"),
                  Case(small, 9.0, why="t is larger than every |theta_i| here"), saves=False, step_name="shrink")
    yield step(answer, "shrink", lambda: exact(answer, [(small, 9.0), (three_axes, 0.7), (EDGES, 0.5)]))

    rates = [(0.1, 2.0), (0.1, 0.0), (2.0, 0.3), (1.0, 0.5)]
    yield forward(answer, "proximal_step", proximal_step,
                  *(Case(x, draw(*x.shape), lr, lam, why=f"lr is {lr} here, and lam is {lam}")
                    for x, (lr, lam) in zip((theta, theta, three_axes, other), rates, strict=True)),
                  saves=False, step_name="proximal step")
    yield step(answer, "training", lambda: train(answer, draw(31, 11), draw(31)))


def exact(answer, cases):
    """Zeros of shrink are zeros, and not rounding errors."""
    for theta, t in cases:
        z = output_of(answer["shrink"](theta.copy(), t), "shrink", saves=False)
        zero = np.abs(theta) <= t
        if z.shape == theta.shape and np.any(z[zero]):
            worst = np.max(np.abs(z[zero]))
            raise Wrong(f"{np.sum(z[zero] != 0)} elements are up to {worst:.1g} where they should be 0 exactly",
                        "two numbers that should cancel are rounded differently: which form gives 0 without rounding?")
    return "zeros are exact"


def train(answer, x, noise):
    """Fit a linear model of which three parameters matter, with an L1 penalty, in two ways."""
    y = x[:, 0] - 2 * x[:, 1] + 3 * x[:, 2] + 0.1 * noise
    count, lam = len(y), 0.3
    lr = count / np.linalg.norm(x, 2) ** 2                  # 1 over the largest curvature: the loss falls in every step

    def trained(step):
        theta = np.full(x.shape[1], 0.5)
        for _ in range(STEPS):
            theta = step(theta, x.T @ (x @ theta - y) / count)
        return theta

    def by_answer(theta, g):
        found = output_of(answer["proximal_step"](theta, g, lr, lam), "proximal_step", saves=False)
        if found.shape != theta.shape:
            raise Wrong(f"proximal_step returns shape {found.shape}, should be {theta.shape}")
        return found

    def loss(theta):
        return np.sum((x @ theta - y) ** 2) / (2 * count) + l1(theta, lam)

    yours = trained(by_answer)
    right = trained(lambda theta, g: proximal_step(theta, g, lr, lam))
    along = trained(lambda theta, g: theta - lr * (g + lam * np.sign(theta)))
    if not np.allclose(yours, right, rtol=1e-6, atol=1e-9):
        raise Wrong(f"after {STEPS} steps the loss is {loss(yours):.6g}, and {loss(right):.6g} can be reached")
    zeros = f"{np.sum(yours == 0)} of {len(yours)} parameters are 0 exactly"
    if np.any(yours[right == 0]):
        raise Wrong(f"{zeros} after {STEPS} steps, and {np.sum(right == 0)} should be")
    return f"{zeros} after {STEPS} proximal steps, and {np.sum(along == 0)} after as many along the gradient"
