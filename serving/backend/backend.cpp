#include <levin/serving/backend/backend.h>

#include <fmt/format.h>

namespace levin {

const ModelMetadata& find_model(const std::vector<ModelMetadata>& models, std::string_view name,
                                std::string_view version) {
  const ModelMetadata* found = nullptr;
  bool is_known = false;
  for (const auto& each : models) {
    if (each.name != name) continue;
    is_known = true;
    if (version.empty() || each.version == version) found = &each;  // the newest comes last
  }
  if (found != nullptr) return *found;
  // What the client sent isn't repeated: it may be long, or hold anything.
  if (!is_known) throw Refusal::not_found("there is no such model");
  throw Refusal::not_found(fmt::format("model '{}' has no such version", name));
}

}  // namespace levin
