"""Languages as BCP 47 writes them (RFC 5646), from what files and tracks call them."""

from __future__ import annotations

import re

# ISO 639-2, terminological code and the two letters of ISO 639-1 for it: https://www.loc.gov/standards/iso639-2/
_TERMINOLOGICAL = """
aaraa abkab afraf akaak amham araar argan asmas avaav aveae aymay azeaz bakba bambm belbe benbn bihbh bisbi bodbo bosbs
brebr bulbg catca cescs chach chece chucu chvcv corkw cosco crecr cymcy danda deude divdv dzodz ellel engen epoeo estet
euseu eweee faofo fasfa fijfj finfi frafr fryfy fulff glagd glega glggl glvgv grngn gujgu hatht hauha hebhe herhz hinhi
hmoho hrvhr hunhu hyehy iboig idoio iiiii ikuiu ileie inaia indid ipkik islis itait javjv jpnja kalkl kankn kasks katka
kaukr kazkk khmkm kikki kinrw kirky komkv konkg korko kuakj kurku laolo latla lavlv limli linln litlt ltzlb lublu luglg
mahmh malml marmr mkdmk mlgmg mltmt monmn mrimi msams myamy nauna navnv nblnr ndend ndong nepne nldnl nnonn nobnb norno
nyany ocioc ojioj orior ormom ossos panpa plipi polpl porpt pusps quequ rohrm ronro runrn rusru sagsg sansa sinsi slksk
slvsl smese smosm snasn sndsd somso sotst spaes sqisq srdsc srpsr sswss sunsu swasw swesv tahty tamta tattt telte tgktg
tgltl thath tirti tonto tsntn tsots tuktk turtr twitw uigug ukruk urdur uzbuz venve vievi volvo wlnwa wolwo xhoxh yidyi
yoryo zhaza zhozh zulzu
"""
# The same for the bibliographic codes that differ.
_BIBLIOGRAPHIC = (
    "tibbo czecs welcy gerde greel baqeu perfa frefr armhy iceis geoka macmk maomi mayms burmy dutnl rumro slosk albsq chizh"
)
_TWO_LETTERS = {code[:3]: code[3:] for code in (_TERMINOLOGICAL + _BIBLIOGRAPHIC).split()}
# Languages with subtitles of their own that have no two letters: Cantonese, Mandarin, Filipino, Cebuano, Hawaiian.
_THREE_LETTERS = frozenset({"yue", "cmn", "fil", "ceb", "haw"})
_KNOWN = frozenset(_TWO_LETTERS.values()) | _THREE_LETTERS

# Language, script, region: the parts that subtitles use; systems write them with either sign between.
_TAG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?(?:[-_][\w-]*)?", re.IGNORECASE | re.ASCII)
# Codes for "not known", "several", "none of these" and "no speech".
_NONE = frozenset({"und", "mul", "mis", "zxx"})


def language_of_tag(tag: str | None) -> str | None:
    """The language that a track states: ``ger`` is ``de``, ``pt_br`` is ``pt-BR``; None where it states none.

    Codes of three letters without a shorter one are kept, as ISO 639-3 has thousands.
    """
    match = _TAG.fullmatch((tag or "").strip())
    if match is None or match[1].lower() in _NONE:
        return None
    language = match[1].lower()
    language = _TWO_LETTERS.get(language, language)
    if len(language) == 2 and language not in _KNOWN:
        return None
    return "-".join(part for part in (language, (match[2] or "").title(), (match[3] or "").upper()) if part)


def language_of_word(word: str) -> str | None:
    """The language that a part of a file's name means, such as ``en``, ``deu`` or ``pt-BR``; None where it means none.

    Of codes with three letters only those of common languages count: ``the`` and ``new`` are codes too.
    """
    language = language_of_tag(word)
    return language if language and base_of(language) in _KNOWN else None


def base_of(language: str | None) -> str | None:
    """The language without its script and region: ``pt`` of ``pt-BR``."""
    return language.partition("-")[0] if language else None
