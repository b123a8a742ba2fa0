#include <levin/cli/predictions.h>

#include <cstring>
#include <vector>

#include <ATen/Tensor.h>
#include <fmt/format.h>

#include <levin/cli/predictions_csv.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/near_files.h>

namespace levin {
namespace {

readers::DType dtype_of(const torch::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kBool:
      return readers::DType::bool_;
    case at::kByte:
      return readers::DType::uint8;
    case at::kChar:
      return readers::DType::int8;
    case at::kShort:
      return readers::DType::int16;
    case at::kInt:
      return readers::DType::int32;
    case at::kLong:
      return readers::DType::int64;
    case at::kHalf:
      return readers::DType::float16;
    case at::kFloat:
      return readers::DType::float32;
    case at::kDouble:
      return readers::DType::float64;
    default:
      break;
  }
  throw ModuleError::contract(
      "predict_step", fmt::format("an output is of type {}", c10::toString(tensor.scalar_type())),
      "return tensors of bool, integers, float16, bfloat16, float32 or float64");
}

readers::Array to_array(const torch::Tensor& tensor) {
  torch::Tensor plain = tensor.detach().cpu().contiguous();
  if (plain.scalar_type() == at::kBFloat16) plain = plain.to(at::kFloat);
  readers::Array array;
  array.shape = plain.sizes().vec();
  array.dtype = dtype_of(plain);
  array.bytes.resize(plain.nbytes());
  if (!array.bytes.empty()) std::memcpy(array.bytes.data(), plain.data_ptr(), plain.nbytes());
  return array;
}

}  // namespace

void check_output(const std::filesystem::path& path) {
  const auto kind = path.extension();
  if (kind != ".csv" && kind != ".npz" && kind != ".npy") {
    const auto meant = nearest_ending(path.string(), {".csv", ".npz", ".npy"});
    throw ConfigError::invalid_value(
        "--output", path.string(),
        "must end in .csv, .npz or .npy" +
            (meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant)));
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored) || path.filename().native().size() > 200) {
    throw ConfigError::invalid_value("--output", path.string(),
                                     "must name a file, not a folder, and have at most 200 bytes");
  }
  if (path.has_parent_path()) files::create_folder(path.parent_path());
}

void write_predictions(const std::filesystem::path& path, const NamedTensors& predictions,
                       const std::vector<std::string>& class_names, const RowKeys& keys) {
  if (path.extension() == ".csv") {
    return write_predictions_csv(path, predictions, class_names, keys);
  }
  std::vector<readers::NamedArray> arrays;
  for (const auto& [name, tensor] : predictions) arrays.push_back({name, to_array(tensor)});
  if (path.extension() == ".npz") return readers::write_npz(path, arrays);
  if (arrays.size() != 1) {
    throw ConfigError::invalid_value(
        "--output", path.string(),
        fmt::format("a .npy holds one array, but there are {}; use .npz", arrays.size()));
  }
  readers::write_npy(path, arrays.front().array);
}

}  // namespace levin
