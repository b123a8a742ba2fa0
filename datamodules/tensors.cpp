#include <levin/datamodules/tensors.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <c10/core/Layout.h>
#include <c10/core/ScalarType.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>
#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

using readers::DType;

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::bool_:
      return at::kBool;
    case DType::uint8:
      return at::kByte;
    case DType::int8:
      return at::kChar;
    case DType::int16:
      return at::kShort;
    case DType::int32:
      return at::kInt;
    case DType::float16:
      return at::kHalf;
    case DType::float32:
      return at::kFloat;
    case DType::float64:
      return at::kDouble;
    default:
      return at::kLong;
  }
}

/// Says where an element is: "x, row 3, column 2".
std::string place(std::string_view name, const torch::Tensor& tensor, int64_t element) {
  if (tensor.dim() == 0) return std::string(name);
  const int64_t per_row = tensor.numel() / tensor.size(0);
  const auto row = fmt::format("{}, row {}", name, element / per_row);
  if (tensor.dim() == 1) return row;
  return fmt::format("{}, {} {}", row, tensor.dim() == 2 ? "column" : "element", element % per_row);
}

template <class T>
torch::Tensor widened(const readers::Array& array, std::string_view name) {
  constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  auto tensor = at::empty(array.shape, at::kLong);
  auto* out = tensor.data_ptr<int64_t>();
  for (const T value : array.values<T>()) {
    if (static_cast<uint64_t>(value) > kLargest) {
      throw DataError::bad_value(
          "the value", std::to_string(value), place(name, tensor, out - tensor.data_ptr<int64_t>()),
          fmt::format("uint64 becomes int64, which holds at most {}. Save the array as float64.",
                      kLargest));
    }
    *out++ = static_cast<int64_t>(value);
  }
  return tensor;
}

/// The number of the first element that is false, or -1 if all are true.
int64_t first_false(const torch::Tensor& fine) {
  if (fine.all().item<bool>()) return -1;
  return fine.logical_not().flatten().to(at::kByte).argmax().item<int64_t>();
}

/// Throws DataError unless `tensor` is finite. `given` holds its values before any conversion.
void require_finite(const torch::Tensor& tensor, const torch::Tensor& given,
                    std::string_view name) {
  if (!tensor.is_floating_point()) return;
  const int64_t bad = first_false(at::isfinite(tensor));
  if (bad < 0) return;
  const double value = given.flatten()[bad].item<double>();
  throw DataError::bad_value("the value", fmt::format("{}", value), place(name, given, bad),
                             std::isfinite(value)
                                 ? "float32 can't hold it. Set dtype = float64."
                                 : "every value must be finite. Replace it, or leave out the row.");
}

ConfigError unknown_dtype(std::string_view dtype) {
  return ConfigError::unknown_name("dtype", dtype, {"float32", "float64", "as_is"});
}

torch::Tensor converted(const torch::Tensor& tensor, std::string_view dtype) {
  const auto as = [&](at::ScalarType type) {
    return tensor.is_cpu() ? converted_in_huge_pages(tensor, type) : tensor.to(type);
  };
  if (dtype == "float32") return as(at::kFloat);
  if (dtype == "float64") return as(at::kDouble);
  if (dtype == "as_is") return tensor;
  throw unknown_dtype(dtype);
}

/// The tensor as numbers of the type `dtype`, contiguous. Throws DataError unless all are finite,
/// before and after the conversion.
torch::Tensor finite_numbers(const torch::Tensor& given, std::string_view dtype,
                             std::string_view name) {
  require_finite(given, given, name);
  auto result = converted(given, dtype);
  if (given.scalar_type() == at::kDouble) require_finite(result, given, name);
  return result.contiguous();
}

void require_rows(const torch::Tensor& tensor, std::string_view name) {
  if (!tensor.defined() || tensor.dim() == 0) {
    throw DataError(fmt::format("{} is {}; it must be an array of the shape [rows, ...]", name,
                                tensor.defined() ? "a single number" : "missing"));
  }
  if (tensor.numel() == 0) {
    throw DataError::empty(
        fmt::format("{} with the shape {}", name, readers::shape_text(tensor.sizes())),
        "give at least one row and one column");
  }
}

/// A sparse tensor of another layout or type as sparse rows of float32 numbers.
Rows as_sparse_rows(const torch::Tensor& given, std::string_view name) {
  auto tensor = given.detach().cpu();
  if (tensor.layout() == at::kSparse) {
    if (tensor.dense_dim() == 0 && tensor.dim() == 2) tensor = tensor.to_sparse_csr();
  }
  if (tensor.layout() == at::kSparseCsr && tensor.dim() == 2) {
    Rows rows = tensor.to(at::kFloat);
    if (rows.is_sparse()) return rows;
  }
  throw DataError::bad_value(
      "the layout", c10::str(tensor.layout(), " with ", tensor.dim(), " dimensions"), name,
      "a sparse array must be a CSR or COO tensor [rows, columns] with 1 to 2^31 - 1 columns");
}

constexpr const char* kNotClasses = "If the targets aren't classes, set target_type = value.";

torch::Tensor as_classes(const torch::Tensor& y, int64_t num_classes, std::string_view name) {
  auto column = y.dim() == 2 && y.size(1) == 1 ? y.squeeze(1) : y;
  if (column.dim() != 1) {
    throw DataError::bad_value("the shape", readers::shape_text(y.sizes()), name,
                               fmt::format("classes must be [rows] or [rows, 1]. {}", kNotClasses));
  }
  const auto labels = column.to(at::kLong);
  if (column.is_floating_point()) {
    constexpr double kExact = 9007199254740992.0;  // 2^53, as in readers::is_whole
    const int64_t bad = first_false(labels.eq(column).logical_and(column.abs().le(kExact)));
    if (bad >= 0) {
      throw DataError::bad_value(
          "the class", fmt::format("{}", column[bad].item<double>()), place(name, column, bad),
          fmt::format("classes must be whole numbers up to 2^53. {}", kNotClasses));
    }
  }
  auto fine = labels.ge(0);
  if (num_classes > 0) fine = fine.logical_and(labels.lt(num_classes));
  const int64_t bad = first_false(fine);
  if (bad >= 0) {
    auto hint = fmt::format("classes must be numbered from 0. {}", kNotClasses);
    if (num_classes == 1) hint = "there is 1 class, so it must be 0";
    if (num_classes > 1) {
      hint = fmt::format("there are {} classes, so it must be from 0 to {}", num_classes,
                         num_classes - 1);
    }
    throw DataError::bad_value("the class", std::to_string(labels[bad].item<int64_t>()),
                               place(name, labels, bad), hint);
  }
  return labels;
}

/// The number that a text is, if it is that of one of `count` classes.
std::optional<int64_t> class_number(const std::string& text, int64_t count) {
  double value = 0.0;
  if (!readers::parse_number(text, value) || !readers::is_whole(value)) return {};
  if (value < 0.0 || value >= static_cast<double>(count)) return {};
  return static_cast<int64_t>(value);
}

DataError unknown_class(const std::string& text, const std::vector<std::string>& known,
                        std::string_view name) {
  if (known.empty()) {
    return DataError(
        fmt::format("{} has the text {} as a target, but the targets of the training data are "
                    "numbers; write these numbers",
                    name, readers::in_quotes(text)));
  }
  return DataError(
      fmt::format("{} has the class {}, which isn't in the training data; their classes are {}. "
                  "Leave out its rows, or train with such rows",
                  name, readers::in_quotes(text), readers::listed(known)));
}

}  // namespace

torch::Tensor to_tensor(readers::Array array, std::string_view name) {
  if (array.dtype == DType::uint16) return widened<uint16_t>(array, name);
  if (array.dtype == DType::uint32) return widened<uint32_t>(array, name);
  if (array.dtype == DType::uint64) return widened<uint64_t>(array, name);
  auto owner = std::make_shared<readers::Array>(std::move(array));
  return at::from_blob(
      owner->bytes.data(), owner->shape, [owner](void*) {},
      at::TensorOptions(scalar_type(owner->dtype)));
}

bool are_class_numbers(const std::vector<std::string>& from, const std::vector<std::string>& to) {
  return std::find_first_of(from.begin(), from.end(), to.begin(), to.end()) == from.end();
}

torch::Tensor renumber_classes(const torch::Tensor& y, const std::vector<std::string>& from,
                               const std::vector<std::string>& to, std::string_view name) {
  if (from.empty()) return y;
  const auto named = [&to](const std::string& text) -> std::optional<int64_t> {
    const auto found = std::find(to.begin(), to.end(), text);
    if (found == to.end()) return {};
    return found - to.begin();
  };
  const bool are_numbers = are_class_numbers(from, to);
  std::vector<int64_t> numbers;
  for (const auto& text : from) {
    const auto number = are_numbers ? class_number(text, std::ssize(to)) : named(text);
    if (!number) throw unknown_class(text, to, name);
    numbers.push_back(*number);
  }
  return at::tensor(numbers, at::kLong).index_select(0, y);
}

torch::Tensor checked_features(const torch::Tensor& x, std::string_view dtype,
                               std::string_view name) {
  require_rows(x, name);
  return finite_numbers(x, dtype, name);
}

Rows checked_rows(const Rows& x, std::string_view dtype, std::string_view name) {
  const bool is_sparse = x.is_sparse() || (x.is_defined() && x.source().layout() != at::kStrided);
  if (!is_sparse) return checked_features(x.tensor(), dtype, name);
  if (dtype != "float32" && dtype != "float64" && dtype != "as_is") throw unknown_dtype(dtype);
  if (dtype == "float64" || (dtype == "as_is" && x.dtype() != at::kFloat)) {
    throw ConfigError::conflict(
        fmt::format("dtype = {}, but {} is sparse and of the type {}", dtype, name,
                    c10::toString(x.dtype())),
        "sparse rows hold float32 numbers: set dtype = float32, or give the rows as a dense array");
  }
  Rows rows =
      x.is_sparse() ? x.to(at::kCPU).together(/*pinned=*/false) : as_sparse_rows(x.source(), name);
  if (rows.size() == 0) {
    throw DataError::empty(fmt::format("{}, a sparse array,", name), "give at least one row");
  }
  if (!rows.is_sealed()) require_valid_entries(rows, name);
  rows.seal();
  return rows;
}

std::shared_ptr<const Dataset> inputs_alone(const Rows& x) {
  return std::make_shared<TensorDataset>(TensorDataset::of_rows({{"input", x}}));
}

std::shared_ptr<const Dataset> inputs_of(const Rows& x, const torch::Tensor& group) {
  if (!group.defined()) return inputs_alone(x);
  return std::make_shared<TensorDataset>(TensorDataset::of_rows({{"input", x}, {"group", group}}));
}

torch::Tensor checked_targets(const torch::Tensor& y, readers::TargetType type, int64_t num_classes,
                              std::string_view dtype, std::string_view name) {
  require_rows(y, name);
  const bool is_integer = c10::isIntegralType(y.scalar_type(), /*includeBool=*/true);
  const bool are_classes =
      type == readers::TargetType::classes ||
      (type == readers::TargetType::automatic && (is_integer || num_classes > 0));
  if (!are_classes) return finite_numbers(y, dtype, name);
  require_finite(y, y, name);
  return as_classes(y, num_classes, name).contiguous();
}

}  // namespace levin
