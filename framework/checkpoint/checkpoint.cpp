#include <levin/framework/checkpoint/checkpoint.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>
#include <zlib.h>

#include <fmt/format.h>

#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/checkpoint/torch_file.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/formats/safetensors.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr const char* kValues = "levin.values";
constexpr const char* kAliases = "levin.aliases";
// The CRC-32 of the header, computed with zeros in its own place.
constexpr const char* kHeaderSum = "levin.crc32.header";
constexpr const char* kDataSum = "levin.crc32.data";
constexpr const char* kNoSum = "00000000";

constexpr std::pair<at::ScalarType, const char*> kTypes[] = {
    {at::kDouble, "F64"}, {at::kFloat, "F32"}, {at::kHalf, "F16"},   {at::kBFloat16, "BF16"},
    {at::kLong, "I64"},   {at::kInt, "I32"},   {at::kShort, "I16"},  {at::kChar, "I8"},
    {at::kByte, "U8"},    {at::kBool, "BOOL"}, {at::kUInt64, "U64"}, {at::kUInt32, "U32"},
    {at::kUInt16, "U16"}};

std::string type_name(at::ScalarType type, std::string_view tensor) {
  for (const auto& [known, name] : kTypes) {
    if (known == type) return name;
  }
  throw CheckpointError(fmt::format("can't save '{}': its type {} has no safetensors name", tensor,
                                    c10::toString(type)));
}

at::ScalarType scalar_type(const std::string& name, std::string_view path) {
  for (const auto& [type, known] : kTypes) {
    if (name == known) return type;
  }
  throw CheckpointError::corrupt(path, "LibTorch has no type " + name);
}

std::span<const std::byte> bytes_of(const torch::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

uint32_t crc(uint32_t sum, std::span<const std::byte> bytes) {
  if (bytes.empty()) return sum;  // for a null pointer, zlib would return its first sum
  return static_cast<uint32_t>(
      ::crc32_z(sum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string hexadecimal(uint32_t sum) { return fmt::format("{:08x}", sum); }

/// Returns the header's bytes, with their checksum put in.
std::string sealed_header(safetensors::Header& header) {
  header.metadata[kHeaderSum] = kNoSum;
  const std::string open = safetensors::build_header(header);
  header.metadata[kHeaderSum] = hexadecimal(crc(0, std::as_bytes(std::span(open))));
  return safetensors::build_header(header);
}

/// What to write: the tensors, each memory once, and the names that stand for a tensor of another
/// name.
struct Plan {
  safetensors::Header header;
  std::vector<torch::Tensor> tensors;
  Value aliases = Value::Object{};
};

Plan plan_tensors(const StateDict& state) {
  Plan plan;
  std::vector<std::pair<safetensors::Entry, torch::Tensor>> entries;
  std::map<std::tuple<const void*, at::ScalarType, std::vector<int64_t>, std::vector<int64_t>>,
           std::string>
      seen;
  for (const auto& [name, tensor] : state.tensors) {
    if (!tensor.defined() || tensor.layout() != at::kStrided) {
      throw CheckpointError(fmt::format("can't save '{}': it is {}", name,
                                        tensor.defined() ? "sparse" : "undefined"));
    }
    auto plain = tensor.detach().cpu().contiguous();
    const std::vector<int64_t> shape = plain.sizes().vec();
    if (plain.numel() > 0) {
      // The key is the address of the state's own tensor. Copies on the CPU would hide that two
      // names share memory.
      const auto key =
          std::tuple(tensor.const_data_ptr(), tensor.scalar_type(), shape, tensor.strides().vec());
      const auto [found, is_new] = seen.try_emplace(key, name);
      if (!is_new) {
        plan.aliases[name] = found->second;
        continue;
      }
    }
    entries.push_back({{name, type_name(plain.scalar_type(), name), shape}, std::move(plain)});
  }
  // If wide types come first, every tensor in the file is aligned for its type.
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  for (auto& [entry, tensor] : entries) {
    plan.header.entries.push_back(std::move(entry));
    plan.tensors.push_back(std::move(tensor));
  }
  return plan;
}

/// Checks the header's checksum of a file that Levin wrote. Files of other programs have none.
void check_header_sum(const safetensors::File& file, std::string_view path,
                      std::span<const std::byte> bytes) {
  const auto& metadata = file.header.metadata;
  const auto header_sum = metadata.find(kHeaderSum);
  if (header_sum == metadata.end() && !metadata.contains(kDataSum)) return;
  if (header_sum == metadata.end() || !metadata.contains(kDataSum)) {
    throw CheckpointError::corrupt(path, "one of its two checksums is missing");
  }
  const size_t header_size = bytes.size() - file.data.size();
  std::string header(reinterpret_cast<const char*>(bytes.data()), header_size);
  const std::string written = fmt::format("\"{}\":\"{}\"", kHeaderSum, header_sum->second);
  const size_t place = header.find(written);
  if (place == std::string::npos) {
    throw CheckpointError::corrupt(path, "the checksum of its header was rewritten");
  }
  header.replace(place, written.size(), fmt::format("\"{}\":\"{}\"", kHeaderSum, kNoSum));
  if (hexadecimal(crc(0, std::as_bytes(std::span(header)))) != header_sum->second) {
    throw CheckpointError::corrupt(path, "the checksum of its header doesn't match");
  }
}

/// Checks the checksum of the data. Files of other programs have none.
void check_data_sum(const safetensors::File& file, std::string_view path) {
  const auto data_sum = file.header.metadata.find(kDataSum);
  if (data_sum == file.header.metadata.end()) return;
  if (hexadecimal(crc(0, file.data)) != data_sum->second) {
    throw CheckpointError::corrupt(path, "the checksum of its data doesn't match");
  }
}

/// Takes the values from a file's metadata, and gives the tensors their further names.
void take_metadata(const std::map<std::string, std::string>& metadata, StateDict& state) {
  if (const auto values = metadata.find(kValues); values != metadata.end()) {
    state.values = Value::from_json(values->second);
  }
  if (const auto aliases = metadata.find(kAliases); aliases != metadata.end()) {
    const Value names = Value::from_json(aliases->second);
    for (const auto& [name, of] : names.as_object()) {
      state.tensors.emplace(name, state.tensor(of.as_string()));
    }
  }
}

/// Completes the plan's metadata, checksums included, and returns the header's bytes.
std::string seal(Plan& plan, const StateDict& state) {
  uint32_t sum = 0;
  for (const auto& tensor : plan.tensors) sum = crc(sum, bytes_of(tensor));
  auto& metadata = plan.header.metadata;
  metadata["format"] = "pt";
  metadata[kValues] = state.values.to_json();
  metadata[kAliases] = plan.aliases.to_json();
  metadata[kDataSum] = hexadecimal(sum);
  return sealed_header(plan.header);
}

StateDict parse(const std::shared_ptr<std::string>& text, const std::string& path) {
  const auto bytes = std::as_bytes(std::span(*text));
  if (is_torch_file(bytes)) return parse_torch_file(bytes, text, path);
  const auto file = safetensors::parse(bytes, path);
  check_header_sum(file, path, bytes);
  check_data_sum(file, path);

  StateDict state;
  for (const auto& entry : file.header.entries) {
    const auto type = scalar_type(entry.dtype, path);
    auto* data = const_cast<std::byte*>(file.data.data() + entry.begin);
    const bool aligned =
        reinterpret_cast<uintptr_t>(data) % safetensors::element_size(entry.dtype) == 0;
    if (aligned) {  // shares the file's memory, as always in Levin's own files
      state.tensors.emplace(entry.name, at::from_blob(
                                            data, entry.shape, [text](void*) {}, type));
    } else {
      const auto size = static_cast<int64_t>(entry.end - entry.begin);
      const auto raw = at::from_blob(data, {size}, at::kByte).clone();
      state.tensors.emplace(entry.name, raw.view(type).view(entry.shape));
    }
  }
  naming_checkpoint(path, [&] { take_metadata(file.header.metadata, state); });
  return state;
}

/// What a file is that begins with `start`, at least 8 bytes of it; "" if that isn't known.
std::string_view other_kind(std::string_view start) {
  using Known = std::pair<std::string_view, std::string_view>;
  constexpr std::array kOthers = {Known{"\x93NUMPY", "an array of NumPy"},
                                  Known{"\x1f\x8b", "a gzip file"},
                                  Known{"\x89PNG", "a picture"},
                                  Known{"\xff\xd8\xff", "a picture"},
                                  Known{"%PDF", "a PDF"},
                                  Known{"\177ELF", "a program or a library"},
                                  Known{"SQLite format 3", "a database of SQLite"}};
  for (const auto& [magic, kind] : kOthers) {
    if (start.starts_with(magic)) return kind;
  }
  constexpr unsigned char kLargestOfUtf8 = 0xf4;
  const bool is_text = std::all_of(start.begin(), start.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= ' ' && byte <= kLargestOfUtf8) || c == '\n' || c == '\r' || c == '\t';
  });
  return is_text ? "text" : "";
}

/// Throws CheckpointError if what exists at `path` can't be a checkpoint, such as a device, or a
/// large file that begins in another way: before all of it is read into memory.
void refuse_other_files(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return;  // reading says why
  if (!std::filesystem::is_regular_file(path, error)) {
    throw CheckpointError::io("read", path.string(),
                              "it is no regular file; name the file or the folder of a checkpoint");
  }
  const auto size = std::filesystem::file_size(path, error);
  constexpr size_t kLength = 8;
  unsigned char start[16] = {};
  const auto known = static_cast<size_t>(std::min<std::uintmax_t>(size, sizeof(start)));
  std::ifstream file(path, std::ios::binary);
  if (error || size < kLength ||
      !file.read(reinterpret_cast<char*>(start), static_cast<std::streamsize>(known))) {
    return;
  }
  if (is_torch_file(std::as_bytes(std::span(start, known)))) return;
  uint64_t header = 0;
  for (size_t i = 0; i < kLength; ++i) header |= uint64_t{start[i]} << (8 * i);
  if (header >= 2 && header <= size - kLength) return;
  const auto kind = other_kind({reinterpret_cast<const char*>(start), known});
  if (!kind.empty()) {
    throw CheckpointError::io(
        "read", path.string(),
        fmt::format("it is {}, not a checkpoint; name a file that a run saved, such as one in its "
                    "folder checkpoints/",
                    kind));
  }
  throw CheckpointError::corrupt(
      path.string(),
      fmt::format("its first 8 bytes stand for a header of {} bytes, and the file has {}", header,
                  size));
}

/// Maps a file into memory, so that the system reads only what is looked at.
torch::Tensor map_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw CheckpointError::io("read", path.string(), error.message());
  if (size == 0) return at::empty({0}, at::kByte);
  try {
    return at::from_file(path.string(), /*shared=*/false, static_cast<int64_t>(size), at::kByte);
  } catch (const c10::Error& failure) {
    throw CheckpointError::io("read", path.string(), plain_message(failure));
  }
}

}  // namespace

void save_checkpoint(const std::filesystem::path& given, const StateDict& state) {
  const auto path = without_tilde(given);
  Plan plan = plan_tensors(state);
  const std::string header = seal(plan, state);
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(header))};
  for (const auto& tensor : plan.tensors) parts.push_back(bytes_of(tensor));
  if (!files::is_folder(path)) return files::write_atomically(path, parts);
  require_only_checkpoint(path);
  auto beside = path;  // a file can't be renamed over a folder, a sharded checkpoint
  beside += ".new";
  files::write_atomically(beside, parts);
  try {
    remove_checkpoint(path);
    files::move_into_place(beside, path);
  } catch (const CheckpointError&) {
    if (has_checkpoint(path)) files::remove_file(beside);  // otherwise the state is only there
    throw;
  }
}

StateDict load_checkpoint(const std::filesystem::path& given) {
  const auto path = without_tilde(given);
  if (files::is_folder(path)) return load_sharded_checkpoint(path);
  refuse_other_files(path);
  return parse(std::make_shared<std::string>(files::read_text(path)), path.string());
}

StateDict load_checkpoint_outline(const std::filesystem::path& given) {
  const auto path = without_tilde(given);
  if (files::is_folder(path)) return load_sharded_outline(path);
  refuse_other_files(path);
  const auto mapped = map_file(path);
  const auto bytes = bytes_of(mapped);
  if (is_torch_file(bytes)) {
    return parse_torch_file(bytes, nullptr, path.string(), /*outline=*/true);
  }
  const auto file = safetensors::parse(bytes, path.string());
  check_header_sum(file, path.string(), bytes);
  StateDict outline;
  for (const auto& entry : file.header.entries) {
    const auto type = scalar_type(entry.dtype, path.string());
    outline.tensors.emplace(entry.name, at::empty(entry.shape, at::device(at::kMeta).dtype(type)));
  }
  naming_checkpoint(path, [&] { take_metadata(file.header.metadata, outline); });
  return outline;
}

std::string checkpoint_bytes(const StateDict& state) {
  Plan plan = plan_tensors(state);
  std::string bytes = seal(plan, state);
  for (const auto& tensor : plan.tensors) {
    const auto part = bytes_of(tensor);
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  }
  return bytes;
}

StateDict checkpoint_from_bytes(std::string bytes, std::string_view name) {
  return parse(std::make_shared<std::string>(std::move(bytes)), std::string(name));
}

}  // namespace levin
