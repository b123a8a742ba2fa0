#pragma once

#include <array>
#include <cstdint>

#include <torch/headeronly/version.h>

#include <levin/cli/plugins/plugin_build.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/core/version.h>

/// Classes of your own in a shared library, which the `levin` program loads by `--plugin`. Include
/// this header in one source of the library, and define there the function that adds the classes:
///
///     #include <levin/cli/plugin.h>
///
///     #include "my_callback.h"
///     #include "my_model.h"
///
///     void levin_plugin(levin::Registry& registry) {
///       registry.models.add<MyModel>("MyModel", "what it does");
///       registry.callbacks.add<MyCallback>("MyCallback", "what it does");
///     }
///
/// Built with CMake:
///
///     find_package(levin REQUIRED)
///     add_library(mine SHARED my_callback.cpp my_model.cpp classes.cpp)
///     target_link_libraries(mine PUBLIC levin::levin)
///
/// Then `levin fit --plugin libmine.so --model MyModel ...` trains the model, and every other
/// command knows the classes, too. docs/plugins.md says more.
///
/// The program calls the function once, when it starts, after it has compared the versions of
/// Levin and LibTorch that the library was built with. An exception ends the program with its
/// message. A class of a name that is taken replaces the one that had it.
extern "C" [[gnu::visibility("default")]] void levin_plugin(levin::Registry& registry);

namespace levin {

/// What the including source is built with.
inline constexpr PluginBuild kPluginBuild = make_plugin_build(
    kVersion, TORCH_VERSION,
    {static_cast<uint32_t>(sizeof(Module)), static_cast<uint32_t>(sizeof(DataModule)),
     static_cast<uint32_t>(sizeof(Callback)), static_cast<uint32_t>(sizeof(Logger)),
     static_cast<uint32_t>(sizeof(Optimizer)), static_cast<uint32_t>(sizeof(Batch)),
     static_cast<uint32_t>(sizeof(Registry)), static_cast<uint32_t>(sizeof(Field)),
     static_cast<uint32_t>(sizeof(Metric)), static_cast<uint32_t>(sizeof(Transform))});

}  // namespace levin

extern "C" {
/// The program finds this record in the library's file. Weak, so that several sources may include
/// this header, and so that each library keeps its own.
[[gnu::weak, gnu::visibility("default")]] extern const levin::PluginBuild levin_plugin_build;
[[gnu::used]] const levin::PluginBuild levin_plugin_build = levin::kPluginBuild;
}
