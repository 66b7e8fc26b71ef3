"""Secrets at rest: what encrypts, what decrypts, and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.domain.delivery.account import TOKEN_PURPOSE
from workbell.domain.delivery.destination import HEADER_PURPOSE, SECRET_PURPOSE
from workbell.domain.errors import Unavailable
from workbell.ports.secret_box import SecretBox

pytestmark = pytest.mark.unit

OLD, NEW, OTHER = b"o" * 32, b"n" * 48, b"x" * 32
BOX: SecretBox = SodiumSecretBox.create([NEW])
ROTATED: SecretBox = SodiumSecretBox.create([NEW, OLD])
BEFORE: SecretBox = SodiumSecretBox.create([OLD])
SECRET = "whsec_" + "c2VjcmV0" * 5
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=TEXTS, purpose=st.sampled_from([TOKEN_PURPOSE, SECRET_PURPOSE, HEADER_PURPOSE]))
def test_an_encrypted_text_decrypts_to_itself(text: str, purpose: str) -> None:
    assert BOX.decrypt(BOX.encrypt(text, purpose), purpose) == text


def test_the_stored_form_has_version_key_id_and_content() -> None:
    stored = BOX.encrypt(SECRET, SECRET_PURPOSE)
    assert re.fullmatch(r"v1\.[0-9a-f]{16}\.[A-Za-z0-9_-]+", stored)
    assert len(stored) == 20 + -(-(24 + len(SECRET) + 16) * 4 // 3)


def test_a_stored_text_of_version_1_stays_readable() -> None:
    """Computed without the class; a change of the form would make stored secrets unreadable."""
    stored = "v1.fe4dc65dc0f5114a.AAECAwQFBgcICQoLDA0ODxAREhMUFRYX0oGRpB3hQ29aLVVMWMAwYM4YbDhOSQ"
    assert BOX.decrypt(stored, SECRET_PURPOSE) == "secret"
    assert (
        BOX.index("secret", TOKEN_PURPOSE)
        == "b0ddc8ea34f4411849a75ec345d012391506fc410fb48b3b423b8add2d95ffdb"
    )


def test_the_same_text_is_never_encrypted_to_the_same_text() -> None:
    assert len({BOX.encrypt(SECRET, SECRET_PURPOSE) for _ in range(1_000)}) == 1_000


def test_a_text_of_one_purpose_cannot_be_decrypted_for_another() -> None:
    stored = BOX.encrypt(SECRET, SECRET_PURPOSE)
    with pytest.raises(Unavailable, match="altered"):
        BOX.decrypt(stored, HEADER_PURPOSE)


def test_every_alteration_of_one_character_is_refused() -> None:
    """Also of unused bits at the end of the base64url."""
    for length in range(4):
        stored = BOX.encrypt(SECRET[:length], SECRET_PURPOSE)
        for place, character in enumerate(stored):
            for other in "Aab09-_.=+/ \0é":
                if other != character:
                    with pytest.raises(Unavailable):
                        BOX.decrypt(stored[:place] + other + stored[place + 1 :], SECRET_PURPOSE)


@given(encrypted=st.text() | st.from_regex(r"v1\.[0-9a-f]{16}\.[A-Za-z0-9_-]*", fullmatch=True))
def test_a_text_that_the_box_did_not_make_is_refused(encrypted: str) -> None:
    with pytest.raises(Unavailable):
        BOX.decrypt(encrypted, SECRET_PURPOSE)


@pytest.mark.parametrize("content", ["", "A", "AAAA", "A" * 16, "A" * 22, "A" * 38, "A" * 4_000])
def test_content_that_is_too_short_or_wrong_is_refused_under_the_known_key(content: str) -> None:
    version, key_id, _ = BOX.encrypt(SECRET, SECRET_PURPOSE).split(".")
    with pytest.raises(Unavailable, match="altered"):
        BOX.decrypt(f"{version}.{key_id}.{content}", SECRET_PURPOSE)


def test_a_cut_or_extended_text_is_refused() -> None:
    stored = BOX.encrypt(SECRET, SECRET_PURPOSE)
    for altered in (stored[:-1], stored[:-4], stored + "A", stored + ".A", stored + "\n"):
        with pytest.raises(Unavailable):
            BOX.decrypt(altered, SECRET_PURPOSE)


def test_after_a_rotation_older_texts_decrypt_and_new_ones_use_the_new_key() -> None:
    stored = BEFORE.encrypt(SECRET, SECRET_PURPOSE)
    assert ROTATED.decrypt(stored, SECRET_PURPOSE) == SECRET
    assert BOX.decrypt(ROTATED.encrypt(SECRET, SECRET_PURPOSE), SECRET_PURPOSE) == SECRET


def test_a_text_of_a_removed_key_is_refused_with_the_setting_to_change() -> None:
    stored = BEFORE.encrypt(SECRET, SECRET_PURPOSE)
    with pytest.raises(Unavailable, match="WORKBELL_SECRET_KEY_PREVIOUS"):
        BOX.decrypt(stored, SECRET_PURPOSE)


def test_an_index_depends_on_text_purpose_and_key_only() -> None:
    index = BOX.index(SECRET, TOKEN_PURPOSE)
    assert re.fullmatch("[0-9a-f]{64}", index)
    assert index == SodiumSecretBox.create([NEW, OTHER]).index(SECRET, TOKEN_PURPOSE)
    different = [
        BOX.index(f"{SECRET}=", TOKEN_PURPOSE),
        BOX.index(SECRET, SECRET_PURPOSE),
        BEFORE.index(SECRET, TOKEN_PURPOSE),
    ]
    assert len({index, *different}) == 4


def test_the_indexes_are_those_of_all_keys_with_the_current_one_first() -> None:
    assert list(ROTATED.indexes(SECRET, TOKEN_PURPOSE)) == [
        BOX.index(SECRET, TOKEN_PURPOSE),
        BEFORE.index(SECRET, TOKEN_PURPOSE),
    ]


def test_without_keys_every_method_names_the_missing_setting() -> None:
    box: SecretBox = SodiumSecretBox.create([])
    stored = BOX.encrypt(SECRET, SECRET_PURPOSE)
    for call in (box.encrypt, box.index, box.indexes):
        with pytest.raises(Unavailable, match="Set WORKBELL_SECRET_KEY:"):
            call(SECRET, SECRET_PURPOSE)
    with pytest.raises(Unavailable, match="Set WORKBELL_SECRET_KEY:"):
        box.decrypt(stored, SECRET_PURPOSE)


def test_neither_representation_nor_errors_show_a_key_or_secret() -> None:
    stored = BEFORE.encrypt(SECRET, SECRET_PURPOSE)
    with pytest.raises(Unavailable) as failure:
        BOX.decrypt(stored, SECRET_PURPOSE)
    for shown in (repr(ROTATED), str(ROTATED), repr(failure.value), stored):
        for secret in (OLD, NEW):
            assert secret.decode() not in shown
            assert secret.hex() not in shown
        assert SECRET not in shown
    assert stored not in str(failure.value)
