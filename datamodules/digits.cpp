#include <levin/datamodules/digits.h>

#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/datamodules/data/embedded.h>
#include <levin/datamodules/embedded_table.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr double kHighestPixel = 16.0;

const embedded::Table& digits() {
  static const auto table = embedded::read_table(data::digits_csv(), "digits.csv");
  return table;
}

}  // namespace

Fields describe(DigitsDataModuleOptions& o) {
  return fields_of<DigitsDataModuleOptions>({
      {"batch_size", &o.batch_size, "rows of a batch on each device"},
      {"val_split", &o.val_split, "share of the rows to validate on"},
      {"test_split", &o.test_split, "share of the rows to test on"},
      {"shuffle", &o.shuffle, "shuffle before splitting and in each epoch"},
      {"stratify", &o.stratify, "split so that every digit has its share of each set"},
      {"seed", &o.seed, "seed of the split"},
      {"scale", &o.scale, "divide the pixels by 16"},
      {"dtype", &o.dtype, "type of the features: float32 or float64"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "put batches into page-locked memory for CUDA"},
      {"standardize", &o.standardize, "features to mean 0 and deviation 1 in the training rows"},
  });
}

DigitsDataModule::DigitsDataModule(DigitsDataModuleOptions options)
    : ArrayDataModule(options.scale ? digits().x / kHighestPixel : digits().x, digits().y,
                      embedded::array_options(options, 10)),
      options_(std::move(options)) {
  set_class_names(digit_names());
}

StateDict DigitsDataModule::fitted_state() {
  auto state = ArrayDataModule::fitted_state();
  state.values["digits"] = Value::Object{{"scale", options_.scale}};
  return state;
}

void DigitsDataModule::load_fitted_state(const StateDict& state) {
  if (state.values.contains("digits")) {
    const bool scale = state.values.at("digits").at("scale").as_bool();
    if (scale != options_.scale) {
      throw ConfigError::conflict(
          fmt::format("the model was trained with scale = {}, but here scale is {}", scale,
                      options_.scale),
          "set the same scale, so that pixels have the same meaning");
    }
  }
  ArrayDataModule::load_fitted_state(state);
}

Value DigitsDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

}  // namespace levin
