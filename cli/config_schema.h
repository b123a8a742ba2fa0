#pragma once

#include <string>

#include <levin/framework/config/registry.h>

namespace levin {

/// Returns the JSON schema (draft 7) of configuration files with the classes of `registry`, which
/// `levin schema` prints. Editors check and complete YAML files with it:
///
///     levin schema > levin.schema.json
///     # yaml-language-server: $schema=levin.schema.json      in the first line of a YAML file
///
/// It knows names and types of all settings, with their meanings and defaults, but not which values
/// a class refuses. A file may be one of several, so that it needs no part, and no class either:
/// settings without one may be those of any class.
std::string config_schema(const Registry& registry);

}  // namespace levin
