"""Signs and what LaTeX calls them."""
# ruff: noqa: RUF001 - signs that look like letters are what this is about

from collections.abc import Mapping


def _pairs(table: str) -> dict[str, str]:
    words = table.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_SYMBOLS = _pairs("""
    α alpha β beta γ gamma δ delta ε epsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ rho
    σ sigma τ tau υ upsilon φ phi χ chi ψ psi ω omega ϵ epsilon ϑ vartheta ϕ phi
    Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega
    × times ÷ div ± pm ∓ mp ⋅ cdot · cdot ∗ ast ∘ circ ∞ infty ∂ partial ∇ nabla ∀ forall ∃ exists ∅ emptyset
    ∈ in ∉ notin ∋ ni ⊂ subset ⊃ supset ⊆ subseteq ⊇ supseteq ∪ cup ∩ cap ∧ wedge ∨ vee ¬ neg
    ≤ leq ≥ geq ≠ neq ≈ approx ≡ equiv ≅ cong ∼ sim ∝ propto ≪ ll ≫ gg
    → to ← leftarrow ↔ leftrightarrow ⇒ Rightarrow ⇐ Leftarrow ⇔ Leftrightarrow ↦ mapsto ↑ uparrow ↓ downarrow
    ⋯ cdots … ldots ⋮ vdots ⋱ ddots ∠ angle ⊥ perp ∥ parallel ⊕ oplus ⊗ otimes ℏ hbar ℓ ell ℜ Re ℑ Im ℵ aleph
    ′ prime ° degree √ surd ∑ sum ∏ prod ∫ int
""")
OPERATORS: Mapping[str, str] = _pairs("""
    ∑ sum ∏ prod ∐ coprod ∫ int ∬ iint ∭ iiint ∮ oint ∯ oiint ∰ oiiint
    ⋃ bigcup ⋂ bigcap ⋁ bigvee ⋀ bigwedge ⨁ bigoplus ⨂ bigotimes
""")
BRACKETS: Mapping[str, str] = {
    **{"{": r"\{", "}": r"\}", "‖": r"\|", "": "."},
    **{sign: f"\\{name} " for sign, name in _pairs("⟨ langle ⟩ rangle ⌈ lceil ⌉ rceil ⌊ lfloor ⌋ rfloor").items()},
}
ACCENTS: Mapping[str, str] = {
    **{"\u0300": "grave", "\u0301": "acute", "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "overline"},
    **{"\u0306": "breve", "\u0307": "dot", "\u0308": "ddot", "\u030c": "check", "\u20d7": "vec", "\u00af": "bar"},
}
FUNCTIONS = frozenset(
    """
    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min
    Pr sec sin sinh sup tan tanh
    """.split()  # noqa: SIM905 - one name a line would hide them
)
# What stands in a formula's text, as LaTeX reads it.
WRITTEN: Mapping[int, str] = str.maketrans(
    {
        **{sign: f"\\{name} " for sign, name in _SYMBOLS.items()},
        **{sign: f"\\{sign}" for sign in "{}%#&$"},
        **{"−": "-", "–": "-", "\u2061": "", "\u00a0": " "},
    }
)
