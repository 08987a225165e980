"""Losses: quantiles, cross-entropy with a penalty or with smoothing, triplets, contrasts, chains of labels, overlap."""

import numpy as np

from microtensor.learn.corpus.pair import Pair

QUANTILES = np.array([0.1, 0.4, 0.8])
PENALTY = 0.13
SMOOTHING = 0.2
CLASS_WEIGHTS = np.array([0.4, 1.7, 0.9, 2.3, 1.2, 0.6, 3.1])
MARGIN = 0.7
TEMPERATURE = 0.3
SMOOTH = 1.0

# -- quantile loss: forecast (5, 3), a column for each quantile; target (5,) ------------------------------------------


def pinball(forecast, target):
    error = target[:, None] - forecast
    return np.asarray(np.maximum(QUANTILES * error, (QUANTILES - 1) * error).mean())


def pinball_backward(g, forecast, target):
    error = target[:, None] - forecast
    d_error = np.where(error > 0, QUANTILES, QUANTILES - 1) / error.size
    return -g * d_error, g * d_error.sum(1)


pair = Pair("quantile loss", "losses", pinball, pinball_backward,
            lambda draw: (draw(5, 3), draw(5)), ("forecast", "target"))
pair.slip("target not summed over the quantiles", ("d_error.sum(1)", "d_error"), right="unreduced, shape")
pair.slip("target averaged over the quantiles", ("d_error.sum(1)", "d_error.mean(1)"),
          right="size", helpful="factor, sum")
pair.slip("condition turned round", ("error > 0", "error < 0"), right="derivative")
pair.slip("gradient of the absolute error", ("np.where(error > 0, QUANTILES, QUANTILES - 1)", "np.sign(error) / 2"),
          right="derivative", helpful="mean")
pair.slip("mean over rows alone", ("/ error.size", "/ len(error)"), right="size", helpful="factor")
pair.slip("sign of the target's gradient", ("g * d_error.sum(1)", "-g * d_error.sum(1)"), right="sign",
          helpful="factor")

# -- softmax regression with a penalty: x (7, 3), weight (3, 5), bias (5,), labels (7,) -------------------------------


def softmax_regression(x, weight, bias, labels):
    logits = x @ weight + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(labels)), labels]).mean() + 0.5 * PENALTY * (weight**2).sum()
    return np.asarray(loss), (x, weight, labels, p)


def softmax_regression_backward(g, saved):
    x, weight, labels, p = saved
    d_logits = p.copy()
    d_logits[np.arange(len(labels)), labels] -= 1
    d_logits *= g / len(labels)
    d_weight = x.T @ d_logits + g * PENALTY * weight
    return d_logits @ weight.T, d_weight, d_logits.sum(0), None


pair = Pair("softmax regression with a penalty", "losses", softmax_regression, softmax_regression_backward,
            lambda draw: (draw(7, 3), draw(3, 5), draw(5), draw.integers(5, 7)), ("x", "weight", "bias", "labels"))
pair.slip("penalty forgotten", (" + g * PENALTY * weight", ""), right="decay", helpful="path, overwritten")
pair.slip("penalty not times the upstream gradient", ("g * PENALTY * weight", "PENALTY * weight"),
          right="upstream", helpful="decay")
pair.slip("one subtracted in what forward saved", ("p.copy()", "p"), right="repeat", helpful="unchanged")
pair.slip("weight reshaped, not transposed", ("weight.T", "weight.reshape(5, 3)"), right="product")
pair.slip("bias averaged over the batch", ("d_logits.sum(0)", "d_logits.mean(0)"), right="size", helpful="factor, sum")
pair.slip("one not subtracted", ("    d_logits[np.arange(len(labels)), labels] -= 1\n", ""),
          right="path, label", helpful="overwritten")

# -- cross-entropy with smoothing and class weights: logits (5, 7), labels (5,) ---------------------------------------


def smoothed_cross_entropy(logits, labels):
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    weights = CLASS_WEIGHTS[labels]
    losses = -(1 - SMOOTHING) * log_p[np.arange(len(labels)), labels] - SMOOTHING * log_p.mean(1)
    return np.asarray((weights * losses).sum() / weights.sum()), (log_p, labels, weights)


def smoothed_cross_entropy_backward(g, saved):
    log_p, labels, weights = saved
    target = np.full_like(log_p, SMOOTHING / log_p.shape[1])
    target[np.arange(len(labels)), labels] += 1 - SMOOTHING
    return g * (np.exp(log_p) - target) * weights[:, None] / weights.sum()


pair = Pair("weighted cross-entropy with smoothing", "losses", smoothed_cross_entropy, smoothed_cross_entropy_backward,
            lambda draw: (draw(5, 7), draw.integers(7, 5)), ("logits", "labels"))
pair.slip("= for += at the labels", ("labels] += 1", "labels] = 1"), right="label, overwritten", helpful="path")
pair.slip("smoothing shared by the other classes", ("/ log_p.shape[1]", "/ (log_p.shape[1] - 1)"),
          right="ddof", helpful="mean")
pair.slip("smoothing only taken from the labels", ("np.full_like(log_p, SMOOTHING / log_p.shape[1])",
                                                   "np.zeros_like(log_p)"), right="mean", helpful="path")
pair.slip("weights forgotten", (" * weights[:, None]", ""), right="column, scale")
pair.slip("over the batch, not the weights", ("weights.sum()", "len(weights)"), right="factor")
pair.slip("no target", ("np.exp(log_p) - target", "np.exp(log_p)"), right="path", helpful="overwritten")

# -- triplets: anchor, positive, negative (11, 3) ---------------------------------------------------------------------


def triplet(anchor, positive, negative):
    near = ((anchor - positive) ** 2).sum(1)
    far = ((anchor - negative) ** 2).sum(1)
    return np.asarray(np.maximum(near - far + MARGIN, 0).mean())


def triplet_backward(g, anchor, positive, negative):
    near = ((anchor - positive) ** 2).sum(1)
    far = ((anchor - negative) ** 2).sum(1)
    active = (near - far + MARGIN > 0)[:, None]
    share = g * active / len(anchor)
    d_positive = 2 * (positive - anchor) * share
    d_negative = 2 * (anchor - negative) * share
    return -d_positive - d_negative, d_positive, d_negative


def triplet_inputs(draw):
    anchor, positive, negative = draw(11, 3) / 2, draw(11, 3) / 2, draw(11, 3) / 2
    # The first is inactive, the second is active by its margin, the third is active in any case.
    positive[:3] = anchor[:3] + [[0.5, -0.3, 0.6], [0.4, 0.5, -0.3], [0.9, -0.8, 1.0]]
    negative[:3] = anchor[:3] - [[1.8, 2.1, -1.5], [0.6, -0.3, 0.4], [0.3, 0.2, -0.45]]
    return anchor, positive, negative


pair = Pair("triplet loss", "losses", triplet, triplet_backward,
            triplet_inputs, ("anchor", "positive", "negative"))
pair.slip("mask without the margin", ("near - far + MARGIN > 0", "near - far > 0"), right="mask",
          helpful="lines, column, derivative")
pair.slip("no mask", ("g * active", "g"), right="mask", helpful="lines, derivative")
pair.slip("anchor through the positive alone", ("-d_positive - d_negative", "-d_positive"),
          right="path", helpful="overwritten")
pair.slip("mean over the active triplets", ("/ len(anchor)", "/ active.sum()"), right="factor")
pair.slip("difference to the negative turned round", ("(anchor - negative) * share", "(negative - anchor) * share"),
          right="sign", helpful="path, factor")
pair.slip("2 forgotten for the positive", ("2 * (positive", "(positive"), right="two", helpful="factor, path")

# -- contrastive loss of pairs: a, b (5, 3), each row of a against all of b -------------------------------------------


def info_nce(a, b):
    norm_a, norm_b = (np.sqrt((x * x).sum(1, keepdims=True)) for x in (a, b))
    a_hat, b_hat = a / norm_a, b / norm_b
    logits = a_hat @ b_hat.T / TEMPERATURE
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return np.asarray(-np.log(np.diag(p)).mean()), (a_hat, b_hat, norm_a, norm_b, p)


def info_nce_backward(g, saved):
    a_hat, b_hat, norm_a, norm_b, p = saved
    d_logits = g * (p - np.eye(len(p))) / len(p) / TEMPERATURE
    da_hat = d_logits @ b_hat
    db_hat = d_logits.T @ a_hat
    da = (da_hat - a_hat * (a_hat * da_hat).sum(1, keepdims=True)) / norm_a
    db = (db_hat - b_hat * (b_hat * db_hat).sum(1, keepdims=True)) / norm_b
    return da, db


pair = Pair("contrastive loss", "losses", info_nce, info_nce_backward, lambda draw: (draw(5, 3), draw(5, 3)),
            ("a", "b"))
pair.slip("temperature forgotten", (" / TEMPERATURE", ""), right="scale", helpful="factor")
pair.slip("logits not transposed for b", ("d_logits.T @ a_hat", "d_logits @ a_hat"), right="product")
pair.slip("norm of a as a constant", ("(da_hat - a_hat * (a_hat * da_hat).sum(1, keepdims=True))", "da_hat"),
          right="projection, variance", helpful="path, statistics, overwritten")
pair.slip("divided by the norm of the other", ("keepdims=True)) / norm_b", "keepdims=True)) / norm_a"), right="column")
pair.slip("projected along the other axis", ("(a_hat * da_hat).sum(1, keepdims=True)", "(a_hat * da_hat).sum(0)"),
          right="axis")
pair.slip("pairs not subtracted", ("(p - np.eye(len(p)))", "p"), right="path")

# -- loss of a linear chain of labels: emissions (11, 3), transitions (3, 3), tags (11,) ------------------------------


def log_sum_exp(x):
    return np.log(np.exp(x).sum(0))


def chain_loss(emissions, transitions, tags):
    alpha = [emissions[0]]
    for t in range(1, len(tags)):
        alpha.append(emissions[t] + log_sum_exp(alpha[-1][:, None] + transitions))
    score = emissions[np.arange(len(tags)), tags].sum() + transitions[tags[:-1], tags[1:]].sum()
    return np.asarray(log_sum_exp(alpha[-1]) - score), (alpha, transitions, tags)


def chain_loss_backward(g, saved):
    alpha, transitions, tags = saved
    d_emissions, d_transitions = np.zeros((len(alpha), len(alpha[0]))), np.zeros_like(transitions)
    d_alpha = np.exp(alpha[-1] - log_sum_exp(alpha[-1]))
    for t in range(len(tags) - 1, 0, -1):
        d_emissions[t] += d_alpha
        scores = alpha[t - 1][:, None] + transitions
        joint = np.exp(scores - log_sum_exp(scores)) * d_alpha
        d_transitions += joint
        d_alpha = joint.sum(1)
    d_emissions[0] += d_alpha
    d_emissions[np.arange(len(tags)), tags] -= 1
    np.subtract.at(d_transitions, (tags[:-1], tags[1:]), 1)
    return g * d_emissions, g * d_transitions, None


def chain_inputs(draw):
    tags = draw.integers(3, 11)
    tags[0], tags[-1] = 2, 0                # so that the transitions of the tags are not symmetric
    return draw(11, 3), draw(3, 3), tags


pair = Pair("loss of a chain of labels", "losses", chain_loss, chain_loss_backward,
            chain_inputs, ("emissions", "transitions", "tags"))
pair.slip("= for += in time", ("d_transitions += joint", "d_transitions = joint"), right="overwritten", helpful="path")
pair.slip("sum over the tag that follows", ("joint.sum(1)", "joint.sum(0)"), right="axis", helpful="lines")
pair.slip("first emission forgotten", ("    d_emissions[0] += d_alpha\n", ""), right="lines",
          helpful="path, overwritten")
pair.slip("repeated tags counted once", ("np.subtract.at(d_transitions, (tags[:-1], tags[1:]), 1)",
                                         "d_transitions[tags[:-1], tags[1:]] -= 1"),
          right="overwritten, label", helpful="path, side")
pair.slip("tags of transitions exchanged", ("(tags[:-1], tags[1:])", "(tags[1:], tags[:-1])"),
          right="transposed", helpful="label")
pair.slip("score of the tags' emissions forgotten", ("    d_emissions[np.arange(len(tags)), tags] -= 1\n", ""),
          right="label, offset", helpful="path, overwritten")

# -- dice loss: p (5, 7), mask (5, 7) of integers ---------------------------------------------------------------------


def dice(p, mask):
    overlap = (p * mask).sum(1)
    total = p.sum(1) + mask.sum(1)
    return np.asarray(1 - ((2 * overlap + SMOOTH) / (total + SMOOTH)).mean())


def dice_backward(g, p, mask):
    top = 2 * (p * mask).sum(1, keepdims=True) + SMOOTH
    bottom = p.sum(1, keepdims=True) + mask.sum(1, keepdims=True) + SMOOTH
    return -g * (2 * mask / bottom - top / bottom**2) / len(p), None


def dice_inputs(draw):
    mask = draw.integers(2, 5, 7)
    mask[:, 0], mask[:, 1] = 1, 0
    return draw.probability(5, 7), mask


pair = Pair("dice loss", "losses", dice, dice_backward, dice_inputs, ("p", "mask"))
pair.slip("denominator as a constant", (" - top / bottom**2", ""), right="mean, path",
          helpful="mask, overwritten, statistics")
pair.slip("denominator not squared", ("bottom**2", "bottom"), right="mean", helpful="derivative")
pair.slip("2 forgotten in the numerator", ("(2 * mask / bottom", "(mask / bottom"), right="label, side",
          helpful="scale, path")
pair.slip("overlap of the whole batch", ("(p * mask).sum(1, keepdims=True)", "(p * mask).sum()"),
          right="axis", helpful="mean")
pair.slip("sum for mean over the batch", (" / len(p)", ""), right="size", helpful="factor")
