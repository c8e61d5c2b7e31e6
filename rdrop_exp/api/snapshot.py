"""What noise replaces in a model, so that it can be put back."""

from typing import Any

from torch import nn

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


class Snapshot:
    """The children, plain attributes and hooks of every module as they were."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = [
            (m, dict(m._modules), _plain(m), {k: set(getattr(m, k)) for k in _HOOKS}) for m in model.modules()
        ]

    def restore(self) -> None:
        """Put children and attributes back, and remove the hooks that came since."""
        for module, children, plain, hooks in self.modules:
            module._modules.clear()
            module._modules.update(children)
            vars(module).update(plain)
            for name, before in hooks.items():
                now = getattr(module, name)
                for key in set(now) - before:
                    del now[key]
        for module, children, _, _ in self.modules:
            for child in children.values():
                if child is not None and not child._modules:
                    child.training = module.training


def _plain(module: nn.Module) -> dict[str, Any]:
    kinds = (bool, float, type(None))
    return {key: value for key, value in vars(module).items() if isinstance(value, kinds) and key != "training"}
