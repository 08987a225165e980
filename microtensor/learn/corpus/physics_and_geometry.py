"""Rotations, cameras, springs, steps in time, and interpolation."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

# -- points of the plane turned by an angle in degrees: p (7, 2); recomputes -----------------------------------------


def turn(p, degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    rotation = np.array([[c, -s], [s, c]])
    return p @ rotation.T


def turn_backward(g, p, degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    rotation = np.array([[c, -s], [s, c]])
    d_rotation = np.array([[-s, -c], [c, -s]])
    dp = g @ rotation
    dangle = (g * (p @ d_rotation.T)).sum()
    return dp, dangle * np.pi / 180


pair = Pair("turn by degrees", "physics_and_geometry", turn, turn_backward,
            lambda draw: (draw(7, 2), np.asarray(40 * draw.nonzero())), ("p", "degrees"))
pair.slip("turned forward again", ("dp = g @ rotation", "dp = g @ rotation.T"), right="product", helpful="jvp")
pair.slip("radians for degrees", (" * np.pi / 180", ""), right="constant", helpful="factor, scale")
pair.slip("sign of a sine's derivative", ("[[-s, -c]", "[[-s, c]"), right="sum", helpful="path")
pair.slip("angle for each point", ("(p @ d_rotation.T)).sum()", "(p @ d_rotation.T)).sum(1)"), right="unreduced",
          helpful="shape, axis")
pair.slip("dangle averaged over points", ("return dp, dangle *", "return dp, dangle / len(p) *"), right="size",
          helpful="factor")

# -- points turned by a quaternion (w, x, y, z) of any length: q (4,), v (5, 3) ---------------------------------------


def quaternion_turn(q, v):
    norm = np.sqrt((q**2).sum())
    unit = q / norm
    t = 2 * np.cross(unit[1:], v)
    return v + unit[0] * t + np.cross(unit[1:], t), (unit, norm, v, t)


def quaternion_turn_backward(g, saved):
    unit, norm, v, t = saved
    w, u = unit[0], unit[1:]
    dw = (g * t).sum()
    dt = w * g + np.cross(g, u)
    du = np.cross(t, g).sum(0) + 2 * np.cross(v, dt).sum(0)
    dv = g + 2 * np.cross(dt, u)
    dunit = np.concatenate([[dw], du])
    dq = (dunit - unit * (unit @ dunit)) / norm
    return dq, dv


pair = Pair("turn by a quaternion", "physics_and_geometry", quaternion_turn, quaternion_turn_backward,
            lambda draw: (draw.nonzero(4), draw(5, 3)), ("q", "v"))
pair.slip("length as a constant", ("(dunit - unit * (unit @ dunit))", "dunit"), right="variance, projection",
          helpful="statistics, path, overwritten")
pair.slip("cross product in the wrong order", ("np.cross(dt, u)", "np.cross(u, dt)"), right="product", helpful="path")
pair.slip("v itself forgotten", ("dv = g + 2", "dv = 2"), right="path", helpful="overwritten")
pair.slip("one of two products for the axis", ("np.cross(t, g).sum(0) + ", ""), right="path, overwritten",
          helpful="sum")
pair.slip("w last", ("return dq, dv", "return np.append(dq[1:], dq[0]), dv"), right="shifted", helpful="permuted")
pair.slip("not divided by the length", (") / norm", ")"), right="scale", helpful="factor")

# -- one step of Runge and Kutta for y' = tanh(y a): y (5, 3), a (3, 3) -----------------------------------------------

STEP = 0.4
WEIGHTS = 1 / 6, 1 / 3, 1 / 3, 1 / 6
NODES = 0.0, 0.5, 0.5, 1.0, 0.0


def runge_kutta(y, a):
    points, slopes = [], []
    for i in range(4):
        points.append(y + STEP * NODES[i] * slopes[-1] if i else y)
        slopes.append(np.tanh(points[i] @ a))
    return y + STEP * sum(b * k for b, k in zip(WEIGHTS, slopes, strict=True)), (points, slopes, a)


def runge_kutta_backward(g, saved):
    points, slopes, a = saved
    dy, da = g.copy(), np.zeros_like(a)
    dpoint = np.zeros_like(g)
    for i in reversed(range(4)):
        dk = STEP * (WEIGHTS[i] * g + NODES[i + 1] * dpoint)
        dpre = dk * (1 - slopes[i]**2)
        da += points[i].T @ dpre
        dpoint = dpre @ a.T
        dy += dpoint
    return dy, da


pair = Pair("Runge-Kutta step", "physics_and_geometry", runge_kutta, runge_kutta_backward,
            lambda draw: (draw(5, 3), draw(3, 3)), ("y", "a"))
pair.slip("node of this stage for the next one's", ("NODES[i + 1]", "NODES[i]"), right="path")
pair.slip("da of the first stage alone", ("da += points", "da = points"), right="overwritten", helpful="path")
pair.slip("slope not squared", ("slopes[i]**2", "slopes[i]"), right="derivative")
pair.slip("y itself forgotten", ("dy, da = g.copy()", "dy, da = np.zeros_like(g)"), right="path")
pair.slip("a not transposed", ("dpre @ a.T", "dpre @ a"), right="product")
pair.slip("sums into the upstream", ("g.copy()", "g"), right="unchanged", helpful="repeat, other upstream")

# -- energies of seven springs between five bodies: x (5, 3), ends (7, 2); recomputes ---------------------------------


def springs(x, k, rest, ends):
    d = x[ends[:, 0]] - x[ends[:, 1]]
    length = np.linalg.norm(d, axis=1)
    return 0.5 * k * (length - rest)**2


def springs_backward(g, x, k, rest, ends):
    i, j = ends.T
    d = x[i] - x[j]
    length = np.linalg.norm(d, axis=1)
    tension = g * k * (length - rest)
    pull = (tension / length)[:, None] * d
    dx = np.zeros_like(x)
    np.add.at(dx, i, pull)
    np.add.at(dx, j, -pull)
    dk = 0.5 * g * (length - rest)**2
    drest = -tension
    return dx, dk, drest


def springs_inputs(draw):
    i = draw.integers(5, 7)
    j = (i + 1 + draw.integers(4, 7)) % 5
    return draw(5, 3), draw.nonzero(7), draw.positive(7), np.stack([i, j], axis=1)


pair = Pair("energies of springs", "physics_and_geometry", springs, springs_backward, springs_inputs,
            ("x", "k", "rest", "ends"))
pair.slip("repeated ends not added", ("np.add.at(dx, i, pull)", "dx[i] += pull"), right="overwritten",
          helpful="lines, path, mask")
pair.slip("the other end forgotten", ("    np.add.at(dx, j, -pull)\n", ""), right="path", helpful="overwritten, mask")
pair.slip("direction not of length 1", ("(tension / length)", "tension"), right="derivative")
pair.slip("half forgotten", ("dk = 0.5 * g", "dk = g"), right="two", helpful="factor, scale")
pair.slip("dk and drest exchanged", ("dk, drest\n", "drest, dk\n"), right="exchanged")
pair.slip("stiffness forgotten in drest", ("drest = -tension", "drest = -tension / k"), right="power, scale",
          helpful="derivative")

# -- points seen by a camera: points (7, 3) -> pixels (7, 2) ----------------------------------------------------------


def camera(points, focal, centre):
    return focal * points[:, :2] / points[:, 2:] + centre


def camera_backward(grad, points, focal, centre):
    xy, z = points[:, :2], points[:, 2:]
    dxy = grad * focal / z
    dz = -(grad * focal * xy).sum(axis=1, keepdims=True) / z**2
    dfocal = (grad * xy / z).sum(axis=0)
    dcentre = grad.sum(axis=0)
    return np.hstack([dxy, dz]), dfocal, dcentre


def camera_inputs(draw):
    return np.hstack([draw(7, 2), draw.positive(7, 1)]), draw.positive(2), draw(2)


pair = Pair("pinhole camera", "physics_and_geometry", camera, camera_backward, camera_inputs,
            ("points", "focal", "centre"))
pair.slip("no gradient for the depth", ("np.hstack([dxy, dz])", "np.hstack([dxy, 0 * dz])"), right="lines, path",
          helpful="mask, column")
pair.slip("depth for its square", ("/ z**2", "/ z"), right="lines, derivative", helpful="power")
pair.slip("mean of both axes for the depth", ("* xy).sum(axis=1", "* xy).mean(axis=1"), right="lines, size",
          helpful="column")
pair.slip("focal length forgotten in dxy", ("dxy = grad * focal / z", "dxy = grad / z"), right="scale, column",
          helpful="lines, power")
pair.slip("centre divided by the depth", ("dcentre = grad.sum", "dcentre = (grad / z).sum"), right="sum")
pair.slip("sign of the gradient for the depth", ("dz = -(grad", "dz = (grad"), right="lines", helpful="path, column")

# -- a step of the heat equation in three rods with insulated ends: u (3, 11), diffusivity a (11,) --------------------

DT = 0.15


def heat_step(u, a):
    p = np.pad(u, ((0, 0), (1, 1)), mode="edge")
    lap = p[:, :-2] - 2 * u + p[:, 2:]
    return u + DT * a * lap, (lap, a)


def heat_step_backward(g, saved):
    lap, a = saved
    q = DT * a * g
    du = g - 2 * q
    du[:, :-1] += q[:, 1:]
    du[:, 1:] += q[:, :-1]
    du[:, [0, -1]] += q[:, [0, -1]]
    da = (DT * g * lap).sum(axis=0)
    return du, da


pair = Pair("step of the heat equation", "physics_and_geometry", heat_step, heat_step_backward,
            lambda draw: (draw(3, 11), draw.positive(11)), ("u", "a"))
pair.slip("ends as if cold", ("    du[:, [0, -1]] += q[:, [0, -1]]\n", ""), right="lines", helpful="path")
pair.slip("diffusivity outside, as in forward", ("q = DT * a * g", "q = DT * g"),
          ("return du, da", "return g + a * (du - g), da"), right="jvp", helpful="product")
pair.slip("right neighbour read in place", ("du[:, :-1] += q[:, 1:]", "du[:, :-1] += q[:, :-1]"), right="shifted",
          helpful="lines, mask")
pair.slip("u itself forgotten", ("du = g - 2 * q", "du = -2 * q"), right="path")
pair.slip("step of time forgotten in da", ("(DT * g * lap)", "(g * lap)"), right="scale", helpful="factor")
pair.slip("ends joined to a ring", ("du[:, [0, -1]] += q[:, [0, -1]]", "du[:, [0, -1]] += q[:, [-1, 0]]"),
          right="lines", helpful="path, mask")

# -- bilinear interpolation of an image (3, 5) at eleven places ------------------------------------------------------


def bilinear(image, y, x):
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    a, b = y - i, x - j
    top = (1 - b) * image[i, j] + b * image[i, j + 1]
    bottom = (1 - b) * image[i + 1, j] + b * image[i + 1, j + 1]
    return (1 - a) * top + a * bottom, (image, i, j, a, b)


def bilinear_backward(g, saved):
    image, i, j, a, b = saved
    dimage = np.zeros_like(image)
    np.add.at(dimage, (i, j), g * (1 - a) * (1 - b))
    np.add.at(dimage, (i, j + 1), g * (1 - a) * b)
    np.add.at(dimage, (i + 1, j), g * a * (1 - b))
    np.add.at(dimage, (i + 1, j + 1), g * a * b)
    left, right = image[i + 1, j] - image[i, j], image[i + 1, j + 1] - image[i, j + 1]
    dy = g * ((1 - b) * left + b * right)
    upper, lower = image[i, j + 1] - image[i, j], image[i + 1, j + 1] - image[i + 1, j]
    dx = g * ((1 - a) * upper + a * lower)
    return dimage, dy, dx


def bilinear_inputs(draw):
    return draw(3, 5), draw.integers(2, 11) + draw.probability(11), draw.integers(4, 11) + draw.probability(11)


pair = Pair("bilinear sampling", "physics_and_geometry", bilinear, bilinear_backward, bilinear_inputs,
            ("image", "y", "x"))
pair.slip("places in one cell not added",
          ("np.add.at(dimage, (i, j), g * (1 - a) * (1 - b))", "dimage[i, j] += g * (1 - a) * (1 - b)"),
          right="overwritten", helpful="path, lines, mask")
pair.slip("dy and dx exchanged", ("dimage, dy, dx", "dimage, dx, dy"), right="exchanged")
pair.slip("last corner one column too far left", ("(i + 1, j + 1), g * a * b", "(i + 1, j), g * a * b"),
          right="shifted", helpful="path, lines, mask")
pair.slip("dy at the left of the cell", ("((1 - b) * left + b * right)", "left"), right="derivative")
pair.slip("sign of dx", ("dx = g *", "dx = -g *"), right="sign", helpful="factor")
pair.slip("dy without upstream", ("dy = g * (", "dy = ("), right="upstream", helpful="mask")
