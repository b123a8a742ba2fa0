#include <levin/framework/data/datamodule.h>

#include <exception>
#include <ostream>

#include <fmt/format.h>

#include <levin/framework/core/type_name.h>

namespace levin {
namespace {

/// How many rows the loaders read: "None", "size=120", or "1. size=20 ; 2. size=NA" of several.
std::string sizes_text(DataModule& data, DataLoaders (DataModule::*loaders_of)()) {
  DataLoaders loaders;
  try {
    loaders = (data.*loaders_of)();
  } catch (const std::exception&) {
    return "None";
  }
  std::string text;
  for (const auto& loader : loaders) {
    const auto size = loader.dataset().size();
    const auto one = fmt::format("size={}", size ? std::to_string(*size) : "NA");
    if (loaders.size() == 1) return one;
    const auto number = 1 + (&loader - loaders.data());
    text += fmt::format("{}{}. {}", text.empty() ? "" : " ; ", number, one);
  }
  return text.empty() ? "None" : text;
}

}  // namespace

std::string DataModule::class_name() const { return unqualified_name(typeid(*this)); }

std::string to_string(DataModule& data) {
  return fmt::format(
      "{{Train dataloader: {}}}\n{{Validation dataloader: {}}}\n{{Test dataloader: {}}}\n"
      "{{Predict dataloader: {}}}",
      sizes_text(data, &DataModule::train_dataloader),
      sizes_text(data, &DataModule::val_dataloader), sizes_text(data, &DataModule::test_dataloader),
      sizes_text(data, &DataModule::predict_dataloader));
}

std::ostream& operator<<(std::ostream& stream, DataModule& data) {
  return stream << to_string(data);
}

}  // namespace levin
