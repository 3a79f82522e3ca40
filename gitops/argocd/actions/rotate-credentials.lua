-- Any new text in the annotation starts a rotation.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["stompbroker.dev/rotate-credentials"] = os.date("!%Y-%m-%dT%XZ")
return obj
