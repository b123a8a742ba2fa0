#include <levin/cli/data_record.h>

#include <algorithm>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/digest.h>
#include <levin/framework/checkpoint/torch_types.h>
#include <levin/framework/core/type_name.h>
#include <levin/framework/data/source_files.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

namespace fs = std::filesystem;
using readers::Digest;
using readers::DigestKind;

constexpr uint64_t kChecksumBlock = uint64_t{1} << 20;
constexpr uint64_t kMostSampledBytes = uint64_t{64} << 20;
constexpr size_t kMostReadFiles = 2048;
constexpr size_t kMostListedParts = 32;
constexpr int64_t kRowsAtEnds = 32;  // of a data set of unknown kind, at its beginning and its end

/// Calls `take` with the beginnings and lengths of the pieces of `size` bytes that count: all of
/// them in order, or blocks of at most `share` bytes together.
template <class Take>
void for_each_checksum_piece(uint64_t size, bool is_whole, uint64_t share, const Take& take) {
  if (is_whole || size <= share) {
    for (uint64_t at = 0; at < size; at += kChecksumBlock)
      take(at, std::min(kChecksumBlock, size - at));
    return;
  }
  const uint64_t blocks = std::max<uint64_t>(2, share / kChecksumBlock);
  const uint64_t length = std::min(kChecksumBlock, std::max<uint64_t>(1, share / blocks));
  for (uint64_t i = 0; i < blocks; ++i) {
    // The first block begins at 0, and the last one ends with the last byte.
    const double place = static_cast<double>(i) / static_cast<double>(blocks - 1);
    take(i + 1 == blocks ? size - length
                         : static_cast<uint64_t>(place * static_cast<double>(size - length)),
         length);
  }
}

/// How the bytes of a source are read: whole or in samples.
struct SourceReading {
  bool is_whole = true;
  uint64_t share = 0;  // the bytes of each part, if they are sampled
};

SourceReading reading_of(uint64_t bytes, size_t parts, uint64_t whole_bytes) {
  if (bytes <= whole_bytes || parts == 0) return {};
  return {.is_whole = false, .share = std::max<uint64_t>(1024, kMostSampledBytes / parts)};
}

std::string tensor_sha256(const torch::Tensor& tensor, const SourceReading& reading) {
  Digest digest(DigestKind::sha256);
  const torch::Tensor plain = tensor.detach().contiguous();
  const auto size = static_cast<uint64_t>(plain.nbytes());
  const bool is_on_host = plain.device().is_cpu();
  const auto flat = size == 0 ? plain : plain.view({-1}).view(at::kByte);
  for_each_checksum_piece(size, reading.is_whole, reading.share, [&](uint64_t at, uint64_t length) {
    auto piece = flat.narrow(0, static_cast<int64_t>(at), static_cast<int64_t>(length));
    if (!is_on_host) piece = piece.cpu();
    digest.update({static_cast<const std::byte*>(piece.const_data_ptr()), length});
  });
  return digest.hex();
}

std::string file_sha256(const fs::path& path, const SourceReading& reading, uint64_t& size) {
  const readers::FileSource file(path);
  size = file.size();
  Digest digest(DigestKind::sha256);
  std::vector<std::byte> piece;
  for_each_checksum_piece(size, reading.is_whole, reading.share, [&](uint64_t at, uint64_t length) {
    piece.resize(length);
    file.read(at, piece);
    digest.update(piece);
  });
  return digest.hex();
}

/// A source under way: its parts, and the lines that its checksum is of.
class SourceRecord {
 public:
  SourceRecord(std::string kind, bool is_sampled) : kind_(std::move(kind)), sampled_(is_sampled) {}

  void add_line(std::string_view text) {
    lines_.update(readers::bytes_of(text));
    lines_.update(readers::bytes_of("\n"));
  }
  void add(const std::string& text, Value part) {
    add_line(text);
    ++count_;
    if (parts_.size() < kMostListedParts) parts_.push_back(std::move(part));
  }
  Value finish() {
    return Value::Object{{"kind", kind_},
                         {"sha256", lines_.hex()},
                         {"sampled", sampled_},
                         {"count", count_},
                         {"parts", std::move(parts_)}};
  }

 private:
  std::string kind_;
  bool sampled_;
  int64_t count_ = 0;
  Value::Array parts_;
  Digest lines_{DigestKind::sha256};
};

void add_tensor(SourceRecord& source, const std::string& name, const torch::Tensor& tensor,
                const SourceReading& reading) {
  const std::string dtype(dtype_name(tensor.scalar_type()));
  const auto sha256 = tensor_sha256(tensor, reading);
  const auto sizes = tensor.sizes();
  source.add(fmt::format("{} {} [{}] {}", name, dtype, fmt::join(sizes, ", "), sha256),
             Value::Object{{"name", name},
                           {"dtype", dtype},
                           {"shape", Value::Array(sizes.begin(), sizes.end())},
                           {"bytes", static_cast<int64_t>(tensor.nbytes())},
                           {"sha256", sha256}});
}

Value record_of_tensors(const NamedRows& entries, uint64_t whole_bytes) {
  uint64_t bytes = 0;
  size_t parts = 0;
  for (const auto& [name, rows] : entries) {
    for (const auto& tensor : rows.memory()) {
      bytes += tensor.defined() ? tensor.nbytes() : 0;
      ++parts;
    }
  }
  const SourceReading reading = reading_of(bytes, parts, whole_bytes);
  SourceRecord source("tensors", !reading.is_whole);
  for (const auto& [name, rows] : entries) {
    if (!rows.is_defined()) continue;
    const auto memory = rows.memory();
    const char* const kinds[] = {"offsets", "indices", "values"};
    for (size_t i = 0; i < memory.size(); ++i) {
      if (!memory[i].defined()) continue;
      add_tensor(source, memory.size() == 1 ? name : fmt::format("{}/{}", name, kinds[i]),
                 memory[i], reading);
    }
    if (const auto& scale = rows.scale()) {
      source.add_line(fmt::format("{} is (byte - {}) * {}", name, scale->zero_point, scale->scale));
    }
  }
  return source.finish();
}

Value record_of_files(std::vector<fs::path> files, uint64_t whole_bytes) {
  const size_t all = files.size();
  if (all > kMostReadFiles) {
    std::vector<fs::path> chosen;
    for (size_t i = 0; i < kMostReadFiles; ++i) {
      chosen.push_back(files[i * (all - 1) / (kMostReadFiles - 1)]);
    }
    files = std::move(chosen);
  }
  uint64_t bytes = 0;
  for (const auto& file : files) bytes += fs::file_size(file);
  const SourceReading reading = reading_of(bytes, files.size(), whole_bytes);
  SourceRecord source("files", !reading.is_whole || files.size() < all);
  for (const auto& file : files) {
    uint64_t size = 0;
    const auto sha256 = file_sha256(file, reading, size);
    const auto name = file.filename().string();
    source.add(
        fmt::format("{} {} {}", name, size, sha256),
        Value::Object{{"name", name}, {"bytes", static_cast<int64_t>(size)}, {"sha256", sha256}});
  }
  Value record = source.finish();
  record["count"] = static_cast<int64_t>(all);
  return record;
}

/// The record of a data set of which only its rows are known.
Value record_of_rows(const Dataset& dataset, int64_t size) {
  std::vector<int64_t> numbers;
  for (int64_t row = 0; row < size; ++row) {
    if (row < kRowsAtEnds || row >= size - kRowsAtEnds) numbers.push_back(row);
  }
  Batch batch;
  {
    const at::NoGradGuard no_grad;
    dataset.get_batch(numbers, batch);
  }
  SourceRecord source("rows", size > 2 * kRowsAtEnds);
  source.add_line(fmt::format("{} rows", size));
  for (const auto& [name, rows] : batch.entries()) {
    if (!rows.is_defined()) continue;
    const torch::Tensor tensor = rows.tensor();
    if (tensor.layout() != at::kStrided) continue;  // none of Levin's own classes comes here
    add_tensor(source, name, tensor, {});
  }
  return source.finish();
}

Value without_checksum(const Dataset& dataset, std::string_view why) {
  return Value::Object{{"kind", "unknown"},
                       {"note", fmt::format("{}: {}", unqualified_name(typeid(dataset)), why)}};
}

Value record_of_source(const Dataset& dataset, uint64_t whole_bytes) {
  try {
    if (const auto* tensors = dynamic_cast<const TensorDataset*>(&dataset)) {
      return record_of_tensors(tensors->entries(), whole_bytes);
    }
    if (const auto* from_files = dynamic_cast<const HasSourceFiles*>(&dataset)) {
      return record_of_files(from_files->source_files(), whole_bytes);
    }
    if (const auto size = dataset.size()) return record_of_rows(dataset, *size);
    return without_checksum(dataset,
                            "a stream that doesn't say which files it reads (HasSourceFiles)");
  } catch (const std::exception& error) {
    return without_checksum(dataset, plain_message(error));
  }
}

/// Describes sets, and each source once.
class DataRecorder {
 public:
  explicit DataRecorder(uint64_t whole_bytes) : whole_bytes_(whole_bytes) {}

  void add(const std::string& name, const Dataset& dataset) {
    const auto size = dataset.size();
    const Dataset* source = &dataset;
    std::vector<int64_t> rows;
    bool is_part = false;
    while (const auto* subset = dynamic_cast<const Subset*>(source)) {
      if (is_part) {
        for (auto& row : rows) row = subset->rows()[static_cast<size_t>(row)];
      } else {
        rows = subset->rows();
        is_part = true;
      }
      source = &subset->parent();
    }
    Value set = Value::Object{{"name", name},
                              {"source", number_of(*source)},
                              {"rows", size ? Value(*size) : Value()},
                              {"rows_sha256", Value()}};
    if (is_part) {
      set["rows_sha256"] =
          readers::digest_hex(DigestKind::sha256, std::as_bytes(std::span(std::as_const(rows))));
    }
    sets_.push_back(std::move(set));
  }

  Value finish() {
    return Value::Object{{"sources", std::move(sources_)}, {"sets", std::move(sets_)}};
  }

 private:
  int64_t number_of(const Dataset& source) {
    const auto [found, is_new] =
        numbers_.try_emplace(&source, static_cast<int64_t>(sources_.size()));
    if (is_new) sources_.push_back(record_of_source(source, whole_bytes_));
    return found->second;
  }

  uint64_t whole_bytes_;
  std::map<const Dataset*, int64_t> numbers_;
  Value::Array sources_;
  Value::Array sets_;
};

}  // namespace

Value data_record(const std::vector<NamedLoaders>& loaders, uint64_t whole_bytes) {
  DataRecorder recorder(whole_bytes);
  for (const auto& [name, list] : loaders) {
    for (size_t i = 0; i < list->size(); ++i) {
      std::string full = name;
      if (!list->names().empty()) {
        full += "/" + list->names()[i];
      } else if (list->size() > 1) {
        full += fmt::format(" {}", i);
      }
      recorder.add(full, (*list)[i].dataset());
    }
  }
  return recorder.finish();
}

}  // namespace levin
