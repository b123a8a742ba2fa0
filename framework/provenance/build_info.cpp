#include <levin/framework/provenance/build_info.h>

#include <string_view>

#include <fmt/format.h>

#include <levin/framework/core/version.h>

namespace levin {
namespace data {

std::string_view build_commit();  // in a file that cmake/commit.cmake makes

}  // namespace data

namespace {

constexpr std::string_view kChangedMark = "-dirty";  // as `git describe --dirty` writes it

std::string compiler_of_build() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

BuildInfo build_info() {
  BuildInfo build{.version = kVersion,
                  .commit = std::string(data::build_commit()),
                  .compiler = compiler_of_build()};
  if (build.commit.ends_with(kChangedMark)) {
    build.is_changed = true;
    build.commit.resize(build.commit.size() - kChangedMark.size());
  }
  return build;
}

Value to_value(const BuildInfo& build) {
  return Value::Object{{"version", build.version},
                       {"commit", build.commit.empty() ? Value() : Value(build.commit)},
                       {"changed", build.is_changed},
                       {"compiler", build.compiler}};
}

}  // namespace levin
