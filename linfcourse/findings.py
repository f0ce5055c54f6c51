"""What the abstracts of the three papers find, and which claims of the course test it.

Verdicts are not here: they come from the records, through the claims. The sentences are ours; each
says in our words what an abstract says. A finding without a claim says why it has none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One finding of an abstract.

    Args:
        says: the finding in our words.
        claims: ids of the claims that test it, in the order of the chapters.
        remark: where the course treats it, what the claims leave out, or why there is none.
            "chapter 5" becomes a link in the book.
    """

    says: str
    claims: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper: its short name, its number on arXiv, and the findings of its abstract in order."""

    name: str
    arxiv: str
    findings: tuple[Finding, ...]


PAPERS = (
    Paper(
        "Xie, Mohamadi and Li, on Adam and ℓ∞ geometry",
        "2410.08198",
        (
            Finding(
                "The usual analyses, which assume smoothness in ℓ2, give Adam and SGD the same "
                "rate, and so cannot say why Adam is ahead.",
                remark="A statement about earlier theorems: nothing to run. Chapter 3 shows how a "
                "rate changes with the ruler that smoothness is measured with.",
            ),
            Finding(
                "Adam converges at a rate that is set by the loss's smoothness in ℓ∞.",
                ("blockwise_quadratic.theorem",),
                "Chapter 5 proves it for full gradients, and chapter 8 for every partition at "
                "once; the claim holds the theorem against runs. The paper's own theorem, for "
                "stochastic gradients, is stated without proof and has no claim.",
            ),
            Finding(
                "On GPT-2 and ResNets the measured ℓ∞ smoothness is much the better of the two.",
                (
                    "rotated_gpt.adam_number_smaller",
                    "rotated_gpt.norm_grows",
                    "rotated_resnet.norm_grows",
                    "blockwise_ladder.adam_is_smoother",
                    "blockwise_ladder.adam_is_smoother_at_the_start",
                ),
                "Measured on a small GPT and a narrow ResNet; GPT-2 itself is in the presets of "
                "chapter 7 and has not been run.",
            ),
            Finding(
                "Adam gets much worse when the geometry is changed by a rotation.",
                (
                    "first_look.rotation_hurts_adam",
                    "first_look.order",
                    "rotated_quadratic.norm_orders_losses",
                    "rotated_quadratic.behind_when_turned",
                    "rotated_quadratic.behind_with_momentum",
                    "turned_baseline.adam_behind",
                    "turned_baseline.adam_behind_with_momentum",
                    "rotated_gpt.rotation_hurts_adam",
                    "rotated_resnet.rotation_hurts_adam",
                    "learned_basis.random_hurts",
                    "learned_basis.network_random_hurts",
                ),
                "Chapter 7 says where this stops.",
            ),
            Finding(
                "SGD is, provably, not affected by a rotation.",
                ("invariances.rotation", "rotated_quadratic.blind"),
                "The proof is in chapter 5; the claims hold it against runs.",
            ),
            Finding(
                "The analysis extends to blockwise Adam, under blockwise smoothness.",
                (
                    "blockwise_quadratic.theorem",
                    "blockwise_quadratic.single_coordinates_win_on_axes",
                    "blockwise_quadratic.adam_loses_when_mixed",
                    "blockwise_quadratic.bound_orders",
                    "blockwise_quadratic.bound_orders_with_momentum",
                    "blockwise_ladder.finer_is_smoother",
                    "blockwise_ladder.finer_is_better",
                    "blockwise_ladder.bound_orders",
                ),
                "Chapter 8 has the deterministic core with proof. That the bound orders the "
                "partitions is more than the abstract says; it is what one would like to conclude.",
            ),
        ),
    ),
    Paper(
        "Jiang, Malik and Li, on local geometry",
        "2211.02254",
        (
            Finding(
                "That adaptive methods adapt to the global geometry of the loss is not enough of "
                "an explanation; look at the geometry along the trajectory.",
                remark="An argument, not a measurement. Chapter 11 holds the two views against "
                "each other and says what each explains.",
            ),
            Finding(
                "A statistic for it, R_med, which plays the part of a condition number at the "
                "iterates.",
                remark="A definition, in chapter 10.",
            ),
            Finding(
                "On language models Adam goes to regions where R_med is small, SGD with momentum "
                "to regions where it is comparatively large.",
                (
                    "gpt_path.adam_even",
                    "gpt_path.every_layer",
                    "gpt_path.follows_optimizer",
                    "gpt_path.rotation",
                ),
                "On a GPT far smaller than the paper's models; chapter 11 says how it is measured, "
                "and the last two claims are questions of ours.",
            ),
            Finding(
                "In a two-layer linear network this can be proved.",
                (
                    "linear_path.adam_even",
                    "linear_path.any_lr",
                    "linear_path.start_foretells",
                    "linear_path.expected",
                    "linear_path.adam_flat",
                    "linear_path.growth",
                ),
                "Chapter 10 proves the two halves in its own way and measures both.",
            ),
        ),
    ),
    Paper(
        "Xie and Li, on AdamW and the ℓ∞ ball",
        "2404.04454",
        (
            Finding(
                "AdamW does better on language models than Adam with an ℓ2 penalty, and it was "
                "not known what it optimises.",
                ("adamw_constrained.penalty_is_ridge",),
                "The paper's starting point rather than its result. Who generalises better "
                "is a question that no experiment of this course asks.",
            ),
            Finding(
                "With full batches and any non-increasing learning rate of divergent sum, AdamW, "
                "if it converges, converges to a KKT point of the loss on ‖x‖∞ ≤ 1/λ.",
                (
                    "adamw_constrained.minimiser",
                    "adamw_constrained.kkt",
                    "adamw_constrained.stays_in_the_box",
                    "adamw_constrained.leaves_the_box",
                    "adamw_constrained.swings",
                    "adamw_constrained.swing_fades",
                    "adamw_constrained.decay_saves",
                    "adamw_language_model.into_the_box",
                    "adamw_language_model.short_memory",
                    "adamw_language_model.adam_leaves",
                    "adamw_language_model.large_beta1_overshoots",
                    "adamw_language_model.kkt_residual",
                    "adamw_language_model.decay_to_zero",
                ),
                "Chapter 13 proves it for β₁ ≤ β₂ and tests it on convex problems; chapter 14 "
                "looks at a language model, on which a constant learning rate does not converge.",
            ),
            Finding(
                "Adam can be seen as a smoothed SignGD, which is normalised steepest descent in "
                "ℓ∞.",
                remark="Chapter 5 has the relation, with the longest step that Adam can take.",
            ),
            Finding(
                "Normalised steepest descent with weight decay is a Frank–Wolfe method.",
                (
                    "frank_wolfe_norms.same_path",
                    "frank_wolfe_norms.contraction",
                    "frank_wolfe_norms.rate",
                    "frank_wolfe_norms.linf_ahead",
                    "constrained_rulers.lion",
                    "constrained_rulers.spectral",
                ),
                "The identity is proved in chapter 12. The claims on rates and those of chapter 17 "
                "are about what follows from it.",
            ),
        ),
    ),
)
