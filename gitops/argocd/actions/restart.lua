-- Any new text in spec.rollout.restart replaces the pods, zone by zone.
local os = require("os")
obj.spec = obj.spec or {}
obj.spec.rollout = obj.spec.rollout or {}
obj.spec.rollout.restart = os.date("!%Y-%m-%dT%XZ")
return obj
