"""Comments: scope, threads, deletion."""

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, after
from tests.contract.projects.rows import NO_ONE, Team, a_comment, add_item
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.projects.comment import Comment, CommentId
from workbell.domain.projects.work_item import WorkItem


@pytest.fixture
def item(store: AnyStore, ann: Team) -> WorkItem:
    return add_item(store, ann, "a")


def test_a_comment_is_returned_as_it_was_inserted(
    store: AnyStore, ann: Team, item: WorkItem
) -> None:
    with store.begin() as tx:
        root = tx.comments.add(a_comment(item, ann.user, "Grüße 日本 🚀 " + "x" * 19_000))
        reply = tx.comments.add(a_comment(item, ann.user, parent=root))
    with store.view() as tx:
        for comment in (root, reply):
            assert tx.comments.get(ann.scope, comment.id) == comment
            assert tx.comments.find_on_item(item.id, comment.id) == comment


def test_only_members_and_everyone_get_a_comment(
    store: AnyStore, ann: Team, ben: Team, item: WorkItem
) -> None:
    other = add_item(store, ben, "a")
    with store.begin() as tx:
        comment = tx.comments.add(a_comment(item, ann.user))
        for get in (tx.comments.get, tx.comments.get_for_update):
            assert get(ann.scope, comment.id) == get(ALL_OWNERS, comment.id) == comment
            for scope, comment_id in (
                (ben.scope, comment.id),
                (NO_ONE, comment.id),
                (ALL_OWNERS, CommentId(99)),
            ):
                with pytest.raises(NotFound, match=f"There is no comment {comment_id}"):
                    get(scope, comment_id)
        assert tx.comments.find_on_item(other.id, comment.id) is None


def test_an_edited_comment_is_stored_and_a_deleted_one_keeps_its_place(
    store: AnyStore, ann: Team, item: WorkItem
) -> None:
    with store.begin() as tx:
        comment = tx.comments.add(a_comment(item, ann.user))
        edited = comment.edit("Other", after(1))
        tx.comments.replace(edited)
        assert tx.comments.get(ann.scope, comment.id) == edited
        deleted = edited.delete(after(2))
        tx.comments.replace(deleted)
        for get in (tx.comments.get, tx.comments.get_for_update):
            with pytest.raises(NotFound):
                get(ALL_OWNERS, comment.id)
        assert tx.comments.find_on_item(item.id, comment.id) == deleted
        assert [view.comment for view in tx.comments.list_page(item.id)[0]] == [deleted]
        with pytest.raises(NotFound):
            tx.comments.replace(evolve(comment, id=CommentId(99)))


def test_threads_are_listed_with_all_their_replies(
    store: AnyStore, ann: Team, ben: Team, item: WorkItem
) -> None:
    other = add_item(store, ben, "a")
    with store.begin() as tx:

        def add(content: str, parent: Comment | None = None, user: Team = ann) -> Comment:
            return tx.comments.add(a_comment(item, user.user, content, parent))

        first, second = add("first"), add("second", user=ben)
        below = add("below", first)
        deeper = add("deeper", below, ben)
        add("again", first)
        add("of second", second)
        add("deepest", deeper)
        third = add("third")
        tx.comments.replace(below.delete(after(1)))
        tx.comments.add(a_comment(other, ben.user, "elsewhere"))

    def found(**page: int) -> list[str]:
        with store.view() as tx:
            views, total = tx.comments.list_page(item.id, **page)
        assert total == 3
        assert all(view.author.id == view.comment.author_id for view in views)
        return [view.comment.content for view in views]

    first_thread = ["first", "", "deeper", "again", "deepest"]
    assert found() == [*first_thread, "second", "of second", "third"]
    assert found(limit=1) == first_thread
    assert found(offset=1, limit=1) == ["second", "of second"]
    assert found(offset=2) == [third.content]
    assert found(offset=9) == []


def test_contents_are_those_of_comments_that_are_not_deleted(
    store: AnyStore, ann: Team, ben: Team, item: WorkItem
) -> None:
    other, silent = add_item(store, ben, "a"), add_item(store, ann, "s")
    with store.begin() as tx:
        for content in ("b", "a"):
            tx.comments.add(a_comment(item, ann.user, content))
        tx.comments.add(a_comment(item, ann.user, "gone", deleted_at=NOON))
        tx.comments.add(a_comment(other, ben.user, "c"))
        assert tx.comments.contents([item.id, silent.id]) == {item.id: ["b", "a"]}
        assert tx.comments.contents([other.id, item.id]) == {item.id: ["b", "a"], other.id: ["c"]}
        assert tx.comments.contents([]) == {}
