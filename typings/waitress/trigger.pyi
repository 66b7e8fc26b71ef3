from collections.abc import Callable

from waitress.wasyncore import file_dispatcher

class trigger(file_dispatcher):
    def pull_trigger(self, thunk: Callable[[], object] | None = None) -> None: ...
