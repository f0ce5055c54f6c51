"""Right answers of chapter 11, and usual mistakes with words of what is said about them."""

import math

import torch


def hutchinson(product, d, probes, generator, *, combine=lambda z, p: z * p, scale=1.0):
    total = torch.zeros(d, dtype=torch.float64)
    for _ in range(probes):
        z = 2.0 * torch.randint(2, (d,), generator=generator).double() - 1
        total += combine(z, product(z))
    return total / probes * scale


def gaussian(product, d, probes, generator):
    total = torch.zeros(d, dtype=torch.float64)
    for _ in range(probes):
        z = torch.randn(d, generator=generator, dtype=torch.float64)
        total += z * product(z)
    return total / probes


def last_probe(product, d, probes, generator):
    for _ in range(probes):
        z = 2.0 * torch.randint(2, (d,), generator=generator).double() - 1
        result = z * product(z)
    return result


def one_probe(product, d, probes, generator):
    z = torch.ones(d, dtype=torch.float64)
    return sum(z * product(z) for _ in range(probes)) / probes


def at_level(losses, values, level):
    return next((v for loss, v in zip(losses, values, strict=True) if loss <= level), None)


def share(AA, SS, AS, SA):
    return ((AS - AA) + (SS - SA)) / (2 * (SS - AA))


RIGHT = {"11.1": 1.0, "11.2": hutchinson, "11.3": at_level, "11.4": share}
WRONG = [
    ("11.1", 10, "a single probe"),
    ("11.1", math.sqrt(10), "ten are averaged"),
    ("11.1", math.sqrt(3.5), "makes no noise"),
    ("11.1", math.sqrt(10) / 10, "by √K"),
    ("11.1", math.sqrt(0.4), "squared before"),
    ("11.1", 7, "Add the squares"),
    ("11.1", "one", "A number is asked for"),
    ("11.2", gaussian, "not signs"),
    ("11.2", last_probe, "Only the last probe"),
    ("11.2", one_probe, "the same vector"),
    ("11.2", lambda *a: hutchinson(*a, combine=lambda z, p: p), "Multiply Hz by z"),
    ("11.2", lambda *a: hutchinson(*a, combine=lambda z, p: (z @ p).expand(12)), "trace"),
    ("11.2", lambda *a: hutchinson(*a, combine=lambda z, p: (z * p).abs()), "with its signs"),
    ("11.2", lambda *a: hutchinson(*a, scale=400), "the sum over the probes"),
    ("11.2", lambda *a: hutchinson(*a, scale=2), "what you make of them"),
    ("11.2", lambda p, d, k, g: hutchinson(p, d, 10, g), "yours took 10"),
    ("11.2", lambda p, d, k, g: torch.zeros(3), "should have shape"),
    ("11.3", lambda ls, vs, level: at_level(ls, vs, level) or vs[-1], "return None"),
    ("11.3", lambda ls, vs, level: vs[0], "For the losses"),
    ("11.3", lambda ls, vs, lv: [v for x, v in zip(ls, vs, strict=True) if x <= lv][-1:][0]
     if min(ls) <= lv else None, "the first is asked for"),
    ("11.3", lambda ls, vs, lv: vs[min(range(len(ls)), key=lambda k: abs(ls[k] - lv))], "nearest"),
    ("11.3", lambda ls, vs, lv: at_level(ls, range(len(ls)), lv), "That is the step"),
    ("11.3", lambda ls, vs, lv: next((v for x, v in zip(ls, vs, strict=True) if x < lv), None),
     "≤, not <"),
    ("11.3", lambda losses: 1, "raised TypeError"),
    ("11.4", lambda *c: 1 - share(*c), "Upside down"),
    ("11.4", lambda *c: 2 * share(*c), "averaged, not added"),
    ("11.4", lambda AA, SS, AS, SA: (AS - AA) / (SS - AA), "one switch only"),
    ("11.4", lambda AA, SS, AS, SA: (SS - SA) / (SS - AA), "one switch only"),
    ("11.4", lambda AA, SS, AS, SA: ((AS - AA) + (SS - SA)) / 2, "units of the gap"),
    ("11.4", lambda AA, SS, AS, SA: (AS - SA) / (SS - AA), "−1, not 0"),
    ("11.4", lambda *c: 0.3, "your share is 0.3"),
]  # fmt: skip
