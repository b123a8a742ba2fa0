#include <levin/serving/load/load_requests.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <random>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/readers/csv.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/protocol/tensor_numbers.h>

namespace levin {
namespace {

/// A request of more elements than this is a mistake of the metadata or the options.
constexpr int64_t kMostElements = int64_t{1} << 26;

template <class T>
std::vector<double> as_doubles(const readers::Array& array) {
  const auto values = array.values<T>();
  return {values.begin(), values.end()};
}

std::vector<double> numbers_of(const readers::Array& array) {
  using readers::DType;
  switch (array.dtype) {
    case DType::bool_:
      return as_doubles<bool>(array);
    case DType::uint8:
      return as_doubles<uint8_t>(array);
    case DType::uint16:
      return as_doubles<uint16_t>(array);
    case DType::uint32:
      return as_doubles<uint32_t>(array);
    case DType::int8:
      return as_doubles<int8_t>(array);
    case DType::int16:
      return as_doubles<int16_t>(array);
    case DType::int32:
      return as_doubles<int32_t>(array);
    case DType::int64:
      return as_doubles<int64_t>(array);
    case DType::float32:
      return as_doubles<float>(array);
    case DType::float64:
      return as_doubles<double>(array);
    case DType::uint64:
    case DType::float16:
      break;
  }
  throw DataError(fmt::format("the rows of a load can't be {}; convert them to float32",
                              readers::dtype_name(array.dtype)));
}

/// The elements that a row has in an input.
int64_t width(const TensorMetadata& input) {
  int64_t product = 1;
  for (size_t i = 1; i < input.shape.size(); ++i) {
    if (input.shape[i] < 1 || product > kMostElements / input.shape[i]) {
      throw ConfigError(fmt::format(
          "the input '{}' of the model has sizes that vary or are too large for made-up rows; use "
          "another model",
          input.name));
    }
    product *= input.shape[i];
  }
  return product;
}

bool is_float(WireType type) { return type == WireType::fp32 || type == WireType::fp64; }

/// A made-up value of an element.
double draw(WireType type, std::mt19937_64& random) {
  const double share = std::generate_canonical<double, 53>(random);
  if (is_float(type)) return share;
  if (type == WireType::boolean) return std::floor(2.0 * share);
  return std::floor((type == WireType::uint8 ? 256.0 : 10.0) * share);
}

/// The element of a BYTES input: a number that was made up, or one of `texts` by its place.
std::string text_of(double value, const std::vector<std::string>& texts) {
  return texts.empty() ? fmt::format("{:g}", value) : texts[static_cast<size_t>(value)];
}

/// Writes an element as JSON has it. A float32 is written as clients in Python do, which make a
/// double of it first: 0.1 is 0.10000000149011612, and 0 is 0.0.
void append_json(std::string& out, double value, WireType type,
                 const std::vector<std::string>& texts) {
  if (type == WireType::bytes) {
    out += Value(text_of(value, texts)).to_json();
  } else if (type == WireType::boolean) {
    out += value != 0.0 ? "true" : "false";
  } else if (is_float(type)) {
    const double number = type == WireType::fp32 ? static_cast<float>(value) : value;
    const size_t before = out.size();
    fmt::format_to(std::back_inserter(out), "{}", number);
    if (out.find_first_of(".e", before) == std::string::npos) out += ".0";
  } else {
    fmt::format_to(std::back_inserter(out), "{}", std::llround(value));
  }
}

template <class T>
void append_as(std::string& out, double value) {
  const T element = static_cast<T>(value);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &element, sizeof(T));
  out.append(bytes, sizeof(T));
}

/// Appends an element as the binary tensor extension has it.
void append_binary(std::string& out, double value, WireType type,
                   const std::vector<std::string>& texts) {
  switch (type) {
    case WireType::boolean:
      return append_as<uint8_t>(out, value != 0.0 ? 1.0 : 0.0);
    case WireType::uint8:
      return append_as<uint8_t>(out, value);
    case WireType::uint16:
      return append_as<uint16_t>(out, value);
    case WireType::uint32:
      return append_as<uint32_t>(out, value);
    case WireType::uint64:
      return append_as<uint64_t>(out, value);
    case WireType::int8:
      return append_as<int8_t>(out, value);
    case WireType::int16:
      return append_as<int16_t>(out, value);
    case WireType::int32:
      return append_as<int32_t>(out, value);
    case WireType::int64:
      return append_as<int64_t>(out, value);
    case WireType::fp64:
      return append_as<double>(out, value);
    case WireType::bytes:
      return append_bytes_element(out, text_of(value, texts));
    case WireType::fp32:
    case WireType::fp16:  // type_in_text
    case WireType::bf16:
      break;
  }
  append_as<float>(out, value);
}

/// The rows of one request.
struct RequestRows {
  /// For each input, its elements, [rows, width].
  std::vector<std::vector<double>> values{};
  /// What elements of BYTES inputs are the places of; empty if they are numbers.
  const std::vector<std::string>& texts;
};

std::string rows_body(const std::vector<TensorMetadata>& inputs, const RequestRows& request,
                      int64_t rows) {
  const auto& values = request.values;
  std::string body = "{\"rows\":[";
  for (int64_t row = 0; row < rows; ++row) {
    body += row == 0 ? "[" : ",[";
    bool is_first = true;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const size_t count = values[i].size() / static_cast<size_t>(rows);
      for (size_t k = 0; k < count; ++k) {
        if (!is_first) body += ',';
        is_first = false;
        append_json(body, values[i][static_cast<size_t>(row) * count + k], inputs[i].type,
                    request.texts);
      }
    }
    body += ']';
  }
  return body + "]}";
}

/// The body of the Open Inference Protocol in JSON.
std::string json_body(const std::vector<TensorMetadata>& inputs, const RequestRows& request,
                      int64_t rows) {
  const auto& values = request.values;
  std::string json = "{\"inputs\":[";
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorMetadata& input = inputs[i];
    json += fmt::format("{}{{\"name\":{},\"datatype\":\"{}\",\"shape\":[{}", i == 0 ? "" : ",",
                        Value(input.name).to_json(), name_of(input.type), rows);
    for (size_t k = 1; k < input.shape.size(); ++k) json += fmt::format(",{}", input.shape[k]);
    json += "],\"data\":[";
    for (size_t k = 0; k < values[i].size(); ++k) {
      if (k > 0) json += ',';
      append_json(json, values[i][k], input.type, request.texts);
    }
    json += "]}";
  }
  return json + "]}";
}

/// The same with the rows as raw bytes.
InferBody binary_body(const std::vector<TensorMetadata>& inputs, const RequestRows& given,
                      int64_t rows) {
  InferenceRequest request;
  request.binary_outputs = true;
  for (size_t i = 0; i < inputs.size(); ++i) {
    WireTensor& tensor = request.inputs.emplace_back();
    tensor.name = inputs[i].name;
    tensor.type = inputs[i].type;
    tensor.shape = inputs[i].shape;
    tensor.shape.resize(std::max<size_t>(tensor.shape.size(), 1));
    tensor.shape.front() = rows;
    for (const double value : given.values[i]) {
      append_binary(tensor.data, value, tensor.type, given.texts);
    }
  }
  return write_infer_request(request);
}

std::string authorization(std::string_view token) {
  return token.empty() ? "" : fmt::format("Authorization: Bearer {}\r\n", token);
}

/// The elements that a row has in all inputs together.
int64_t columns_of(const std::vector<TensorMetadata>& inputs) {
  int64_t columns = 0;
  for (const auto& input : inputs) {
    columns += width(input);
  }
  return columns;
}

/// Gives the rows of one request after another, made up or from a file, from which it begins anew
/// at the end.
class RowSource {
 public:
  RowSource(const std::vector<TensorMetadata>& inputs, const std::optional<LoadRows>& rows,
            uint64_t seed)
      : inputs_(inputs), rows_(rows), random_(seed) {}

  RequestRows take(int64_t count) {
    RequestRows request{.values = std::vector<std::vector<double>>(inputs_.size()),
                        .texts = rows_ ? rows_->texts : no_texts_};
    for (int64_t row = 0; row < count; ++row) {
      for (size_t i = 0; i < inputs_.size(); ++i) {
        const int64_t elements = width(inputs_[i]);
        for (int64_t k = 0; k < elements; ++k) {
          request.values[i].push_back(rows_ ? next_value() : draw(inputs_[i].type, random_));
        }
      }
      if (rows_ && next_ == std::max(rows_->values.size(), rows_->texts.size())) next_ = 0;
    }
    return request;
  }

 private:
  double next_value() {
    const size_t at = next_++;
    return rows_->texts.empty() ? rows_->values[at] : static_cast<double>(at);
  }

  const std::vector<std::string> no_texts_{};
  const std::vector<TensorMetadata>& inputs_;
  const std::optional<LoadRows>& rows_;
  std::mt19937_64 random_;
  size_t next_ = 0;  // value of the rows
};

std::string path_of(const RequestOptions& options) {
  if (!options.path.empty()) return options.path;
  if (options.format != LoadFormat::rows) return "/v2/models/" + options.model + "/infer";
  return options.model.empty() ? "/predict" : "/models/" + options.model + "/predict";
}

std::string whole_request(const HttpAddress& server, const std::vector<TensorMetadata>& inputs,
                          const RequestRows& values, const RequestOptions& options) {
  InferBody written;
  std::string header;
  if (options.format == LoadFormat::binary) {
    written = binary_body(inputs, values, options.rows);
    header = fmt::format("{}: {}\r\n", kJsonLengthHeader, written.json_bytes);
  } else {
    written.body = options.format == LoadFormat::rows ? rows_body(inputs, values, options.rows)
                                                      : json_body(inputs, values, options.rows);
    written.json_bytes = written.body.size();
  }
  return fmt::format(
      "POST {}{} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: {}\r\n{}Content-Length: {}\r\n\r\n{}",
      server.path, path_of(options), server.authority(), authorization(options.token),
      written.content_type(), header, written.body.size(), written.body);
}

}  // namespace

LoadFormat load_format(std::string_view name) {
  if (name == "rows") return LoadFormat::rows;
  if (name == "json") return LoadFormat::json;
  if (name == "binary") return LoadFormat::binary;
  throw ConfigError::unknown_name("format", name, {"rows", "json", "binary"});
}

LoadRows read_load_rows(const std::filesystem::path& path) {
  LoadRows result;
  if (path.extension() == ".npy") {
    const readers::Array array = readers::read_npy(path);
    if (array.shape.empty() || array.size() == 0) {
      throw DataError::empty(path.string(), "it must have a row at least");
    }
    result.rows = array.shape.front();
    result.columns = array.size() / result.rows;
    result.values = numbers_of(array);
  } else {
    readers::CsvTable table = readers::read_csv(path);
    result.rows = table.rows;
    result.columns = static_cast<int64_t>(table.columns.size());
    result.values = std::move(table.values);
  }
  return result;
}

LoadRows read_load_cells(const std::filesystem::path& path) {
  const auto table = tables::TextTable::read(path);
  LoadRows result{.rows = table.rows(), .columns = static_cast<int64_t>(table.columns().size())};
  for (int64_t row = 0; row < result.rows; ++row) {
    for (size_t column = 0; column < table.columns().size(); ++column) {
      result.texts.emplace_back(table.cell(row, column));
    }
  }
  return result;
}

std::vector<TensorMetadata> inputs_of_metadata(std::string_view json) {
  try {
    std::vector<TensorMetadata> inputs;
    for (const Value& each : Value::from_json(json).at("inputs").as_array()) {
      TensorMetadata& input = inputs.emplace_back();
      input.name = each.at("name").as_string();
      const auto type = wire_type(each.at("datatype").as_string());
      if (!type) throw DataError("the type of the input '" + input.name + "' isn't known");
      input.type = *type;
      for (const Value& size : each.at("shape").as_array()) input.shape.push_back(size.as_int());
    }
    return inputs;
  } catch (const CheckpointError&) {
    throw DataError(
        "the server describes its model in another form than the Open Inference Protocol; give the "
        "rows with --rows FILE and ask with --format rows");
  }
}

std::vector<std::string> make_load_requests(const HttpAddress& server,
                                            const std::vector<TensorMetadata>& given,
                                            const std::optional<LoadRows>& rows,
                                            const RequestOptions& options) {
  std::vector<TensorMetadata> inputs = given;
  if (inputs.empty()) {
    if (options.format != LoadFormat::rows || !rows) {
      throw ConfigError("a server without metadata needs --rows FILE and --format rows");
    }
    inputs.push_back({.shape = {-1, rows->columns}});
  }
  for (auto& input : inputs) input.type = type_in_text(input.type);  // the server converts FP32
  const int64_t columns = columns_of(inputs);
  if (rows && rows->columns != columns) {
    throw ConfigError(
        fmt::format("the rows have {} columns, but the model takes {}", rows->columns, columns));
  }
  if (options.rows < 1 || columns > kMostElements / options.rows) {
    throw ConfigError::invalid_value("--request-rows", std::to_string(options.rows),
                                     "it must be at least 1, and a request must fit into memory");
  }
  // No more requests than there are different rows, and no more than fit into 64 Mi elements.
  int64_t count = std::min(options.requests, kMostElements / (columns * options.rows));
  if (rows) count = std::min(count, (rows->rows + options.rows - 1) / options.rows);
  RowSource source(inputs, rows, options.seed);
  std::vector<std::string> requests;
  for (int64_t n = 0; n < std::max<int64_t>(count, 1); ++n) {
    requests.push_back(whole_request(server, inputs, source.take(options.rows), options));
  }
  return requests;
}

std::string get_request(const HttpAddress& server, std::string_view path, std::string_view token) {
  return fmt::format("GET {}{} HTTP/1.1\r\nHost: {}\r\n{}\r\n", server.path, path,
                     server.authority(), authorization(token));
}

}  // namespace levin
