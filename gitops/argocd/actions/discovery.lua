-- Actions on a StompBroker. A suspended one takes none: nothing would happen.
local idle = obj.spec ~= nil and obj.spec.suspend == true
local actions = {}
actions["restart"] = {["disabled"] = idle, ["displayName"] = "Replace all pods, zone by zone"}
actions["rotate-credentials"] = {["disabled"] = idle, ["displayName"] = "Give generated logins new values"}
return actions
