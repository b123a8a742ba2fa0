#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/load/http_address.h>
#include <levin/serving/protocol/model_metadata.h>

namespace levin {

/// How requests say what they want to have predicted.
enum class LoadFormat : uint8_t {
  /// POST /predict with {"rows": [[...]]}.
  rows,
  /// The Open Inference Protocol with numbers in JSON.
  json,
  /// The same with tensors as raw bytes, also in the answer.
  binary,
};

/// Returns the format of that name: rows, json or binary. Throws ConfigError for another one.
LoadFormat load_format(std::string_view name);

/// Rows for requests, [rows, columns].
struct LoadRows {
  int64_t rows = 0;
  int64_t columns = 0;
  /// Row-major.
  std::vector<double> values{};
  /// In place of the values: the cells of a table.
  std::vector<std::string> texts{};
};

/// Reads rows from a .npy file, whose first size is that of the rows, or else from a CSV file.
/// Throws DataError if that isn't possible, and for complex or half-precision numbers.
LoadRows read_load_rows(const std::filesystem::path& path);
/// Reads the cells of a CSV file, whose first line names the columns, as texts. Throws DataError if
/// that isn't possible.
LoadRows read_load_cells(const std::filesystem::path& path);

/// Which requests to make.
struct RequestOptions {
  LoadFormat format = LoadFormat::json;
  /// The model, and the path that is asked; an empty path follows from format and model, and with
  /// LoadFormat::rows the model may be empty, too.
  std::string model{};
  std::string path{};
  /// Rows of each request, and how many different requests are made at most.
  int64_t rows = 1;
  int64_t requests = 64;
  uint64_t seed = 0;
  /// If not empty, the token of the header "Authorization: Bearer TOKEN".
  std::string token{};
};

/// Reads the inputs of a model from its metadata, the JSON of GET v2/models/NAME. Throws DataError
/// if it isn't such metadata.
std::vector<TensorMetadata> inputs_of_metadata(std::string_view json);

/// Makes whole HTTP requests for a model with these inputs. Values are random, from `seed`, or come
/// from `rows`, whose columns are then those of all inputs together. Without inputs (a server that
/// has no metadata), LoadFormat::rows sends the rows as they are. FP16 and BF16 are sent as FP32.
/// Throws ConfigError if the rows don't fit the inputs.
std::vector<std::string> make_load_requests(const HttpAddress& server,
                                            const std::vector<TensorMetadata>& inputs,
                                            const std::optional<LoadRows>& rows,
                                            const RequestOptions& options);

/// Makes a GET request for a path of the server.
std::string get_request(const HttpAddress& server, std::string_view path, std::string_view token);

}  // namespace levin
