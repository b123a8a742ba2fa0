#include <levin/serving/backend/backend.h>

#include <fmt/format.h>

namespace levin {

Refusal no_model_is_named() {
  return Refusal::malformed(
      "there are several models; ask one of them at /models/NAME/predict. GET /models lists them");
}

std::shared_ptr<const ModelMetadata> Backend::find(std::string_view name,
                                                   std::string_view version) const {
  const auto all = models();
  if (!name.empty()) return std::make_shared<ModelMetadata>(find_model(all, name, version));
  if (all.empty()) throw Refusal::unavailable("no model is loaded now");
  if (all.front().name != all.back().name) throw no_model_is_named();
  return std::make_shared<ModelMetadata>(find_model(all, all.front().name, version));
}

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
