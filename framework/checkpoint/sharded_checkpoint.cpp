#include <levin/framework/checkpoint/sharded_checkpoint.h>

#include <algorithm>
#include <exception>
#include <map>
#include <random>
#include <system_error>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <zlib.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/slices.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndex = "index.json";
constexpr const char* kPart = "levin.part";  // in a part's values: the save, the rank, its slices
constexpr const char* kSum = "crc32";        // the checksum of the index without this member
constexpr uint64_t kMostIndexBytes = uint64_t{64} << 20;
constexpr const char* kPartPrefix = "rank-";
constexpr const char* kPartSuffix = ".safetensors";

using Slices = std::map<std::string, TensorSlice>;

std::string part_name(int64_t rank, const std::string& save) {
  return fmt::format("{}{}.{}{}", kPartPrefix, rank, save, kPartSuffix);
}

std::string checksum(const Value& value) {
  const std::string text = value.to_json();
  return fmt::format("{:08x}",
                     ::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

// --- saving ---

/// Moves the tables of slices out of the tree `values` into `slices`. `prefix` is what the names of
/// this subtree's tensors begin with in the whole state.
void take_slices(Value& values, const std::string& prefix, Slices& slices) {
  if (!values.is_object()) return;
  auto& members = values.as_object();
  if (const auto table = members.find(kSlices); table != members.end()) {
    for (const auto& [name, slice] : table->second.as_object()) {
      slices[prefix + name] = to_slice(slice);
    }
    members.erase(table);
  }
  for (auto& [name, member] : members) take_slices(member, prefix + name + ".", slices);
}

StateDict own_part(const StateDict& state, int64_t rank, const std::string& save) {
  StateDict part;
  part.values = state.values;
  Slices slices;
  take_slices(part.values, "", slices);
  if (rank == 0) {
    part.tensors = state.tensors;
  } else {
    part.values = Value::Object{};
    for (const auto& [name, slice] : slices) part.tensors[name] = state.tensor(name);
  }
  Value& own = part.values[kPart];
  own["save"] = save;
  own["rank"] = rank;
  own["slices"] = Value::Object{};
  for (const auto& [name, slice] : slices) own["slices"][name] = to_value(slice);
  return part;
}

/// Does `work` on every rank. If it fails on one rank, an exception is thrown on every rank.
void together(Ranks& ranks, const fs::path& folder, const std::function<void()>& work) {
  std::exception_ptr own;
  std::string problem;
  try {
    work();
  } catch (const std::exception& error) {
    own = std::current_exception();
    problem = plain_message(error);
  }
  const auto problems = ranks.gather(problem);
  if (own) std::rethrow_exception(own);
  for (size_t rank = 0; rank < problems.size(); ++rank) {
    if (problems[rank].empty()) continue;
    throw CheckpointError::io("write", folder.string(),
                              fmt::format("rank {}: {}", rank, problems[rank]));
  }
}

fs::path aside(const fs::path& path) {
  auto other = path;
  other += ".replaced";
  return other;
}

void write_index(const fs::path& folder, int64_t world_size, const std::string& save) {
  Value index = Value::Object{{"format", 1}, {"save", save}, {"world_size", world_size}};
  Value::Array parts;
  for (int64_t rank = 0; rank < world_size; ++rank) {
    const auto name = part_name(rank, save);
    if (!files::exists(folder / name)) {
      throw CheckpointError::io("find", (folder / name).string(),
                                "all ranks must write to one file system");
    }
    parts.push_back(name);
  }
  index["files"] = std::move(parts);
  index[kSum] = checksum(index);
  files::write_atomically(folder / kIndex, index.to_json(2));
}

/// Returns whether a file of that name is a part: `rank-` and digits, a point and eight hexadecimal
/// digits, and the suffix.
bool is_part_name(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (!name.starts_with(kPartPrefix) || !name.ends_with(kPartSuffix)) return false;
  name.remove_prefix(std::string_view(kPartPrefix).size());
  if (name.size() < std::string_view(kPartSuffix).size()) return false;
  name.remove_suffix(std::string_view(kPartSuffix).size());
  const size_t point = name.find('.');
  if (point == name.npos || point == 0) return false;
  const std::string_view save = name.substr(point + 1);
  return name.substr(0, point).find_first_not_of(kDigits.substr(0, 10)) == name.npos &&
         save.size() == 8 && save.find_first_not_of(kDigits) == save.npos;
}

/// Removes the parts that don't belong to `save`, or all parts if `save` is empty.
void remove_parts(const fs::path& folder, const std::string& save) {
  std::vector<fs::path> others;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool is_kept = !save.empty() && name.ends_with("." + save + kPartSuffix);
    if (is_part_name(name) && !is_kept) others.push_back(entry.path());
  }
  for (const auto& path : others) files::remove_file(path);
}

// --- loading ---

std::string index_text(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {  // a pipe, for example, would be waited for
    throw CheckpointError::corrupt(path.string(), "it is no regular file");
  }
  return files::read_text(path, kMostIndexBytes);
}

Value read_index(const fs::path& folder) {
  const auto path = folder / kIndex;
  if (!files::exists(path)) {
    throw CheckpointError::corrupt(
        folder.string(),
        "a directory without index.json: its writing was cut short, or it is no checkpoint");
  }
  const std::string text = index_text(path);
  try {
    Value index = Value::from_json(text);
    const std::string sum = index.at(kSum).as_string();
    index.as_object().erase(kSum);
    if (checksum(index) != sum) throw CheckpointError("its checksum doesn't match");
    if (index.at("format").as_int() != 1) throw CheckpointError("it is of a later version");
    return index;
  } catch (const CheckpointError& error) {
    throw CheckpointError::corrupt(path.string(), error.what());
  }
}

/// Throws CheckpointError if the folder has an index that isn't a checkpoint's: one without the
/// members that Levin writes. A damaged index is Levin's own, and so is one of a later version.
void refuse_foreign_index(std::string_view action, const fs::path& folder) {
  const auto path = folder / kIndex;
  if (!files::exists(path)) return;
  const std::string text = index_text(path);
  for (const char* member : {"\"format\"", "\"save\"", "\"files\""}) {
    if (text.find(member) != text.npos) continue;
    throw CheckpointError::io(action, folder.string(),
                              "it has an index.json that isn't a checkpoint's; name another path, "
                              "or remove that file if nobody needs it");
  }
}

/// load_checkpoint or load_checkpoint_outline.
using LoadFile = StateDict (*)(const fs::path&);

StateDict load_part(const fs::path& folder, const Value& index, size_t rank, LoadFile load_file) {
  const std::string& name = index.at("files").as_array()[rank].as_string();
  if (!is_part_name(name)) {  // it could lead out of the folder
    throw CheckpointError::corrupt((folder / kIndex).string(),
                                   fmt::format("'{}' isn't the name of a part", name));
  }
  const auto path = folder / name;
  if (!files::exists(path)) throw CheckpointError::corrupt(path.string(), "the part is missing");
  StateDict part = load_file(path);
  const bool is_ours = part.values.contains(kPart) &&
                       part.values.at(kPart).at("save") == index.at("save") &&
                       part.values.at(kPart).at("rank") == Value(static_cast<int64_t>(rank));
  if (!is_ours) throw CheckpointError::corrupt(path.string(), "it is a part of another save");
  return part;
}

/// Puts tensors together from their slices: first `add` for every slice, then `finish`.
class Wholes {
 public:
  explicit Wholes(const fs::path& folder) : folder_(folder) {}

  void add(const std::string& name, const TensorSlice& slice, const torch::Tensor& part) {
    auto& whole = wholes_[name];
    if (!whole.flat.defined()) {
      const bool is_shape = std::all_of(slice.shape.begin(), slice.shape.end(),
                                        [](int64_t size) { return size >= 0; });
      if (!is_shape) fail(name, "has a negative size");
      whole.shape = slice.shape;
      try {
        whole.flat = at::empty(slice.shape, part.options()).reshape({-1});
      } catch (const c10::Error& error) {  // the numbers in a file may be any
        fail(name, fmt::format("has a shape that can't be used: {}", plain_message(error)));
      }
    }
    if (slice.shape != whole.shape || part.scalar_type() != whole.flat.scalar_type()) {
      fail(name, "has another shape or type in another part");
    }
    if (slice.begin < 0 || slice.end > whole.flat.numel() ||
        slice.end - slice.begin != part.numel()) {
      fail(name, fmt::format("has a slice {} to {} that doesn't fit its shape or its data",
                             slice.begin, slice.end));
    }
    whole.flat.narrow(0, slice.begin, part.numel()).copy_(part.reshape({-1}));
    whole.ranges.emplace_back(slice.begin, slice.end);
  }

  void finish(StateDict& state) {
    for (auto& [name, whole] : wholes_) {
      std::sort(whole.ranges.begin(), whole.ranges.end());
      int64_t reached = 0;
      for (const auto& [begin, end] : whole.ranges) {
        if (begin < reached) fail(name, fmt::format("has its entry {} in two parts", begin));
        if (begin > reached) fail_incomplete(name, reached);
        reached = end;
      }
      if (reached != whole.flat.numel()) fail_incomplete(name, reached);
      state.tensors.insert_or_assign(name, whole.flat.view(whole.shape));
    }
  }

 private:
  struct Whole {
    std::vector<int64_t> shape;
    torch::Tensor flat;
    std::vector<std::pair<int64_t, int64_t>> ranges;
  };

  [[noreturn]] void fail_incomplete(const std::string& name, int64_t entry) const {
    fail(name, fmt::format("is incomplete: no part has its entry {}", entry));
  }
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const {
    throw CheckpointError::corrupt(folder_.string(), fmt::format("'{}' {}", name, problem));
  }

  fs::path folder_;
  std::map<std::string, Whole> wholes_;
};

StateDict put_together(const fs::path& folder, LoadFile load_file) {
  const Value index = read_index(folder);
  StateDict state;
  Wholes wholes(folder);
  const size_t parts = index.at("files").as_array().size();
  for (size_t rank = 0; rank < parts; ++rank) {
    StateDict part = load_part(folder, index, rank, load_file);
    for (const auto& [name, slice] : part.values.at(kPart).at("slices").as_object()) {
      wholes.add(name, to_slice(slice), part.tensor(name));
      part.tensors.erase(name);
    }
    if (rank > 0) continue;
    state = std::move(part);
    state.values.as_object().erase(kPart);
  }
  wholes.finish(state);
  return state;
}

}  // namespace

fs::path without_tilde(const fs::path& path) { return expand_home(path.string(), "path"); }

void save_sharded_checkpoint(const fs::path& given, const StateDict& state, Ranks& ranks) {
  const auto folder = without_tilde(given);
  const bool is_first = ranks.is_zero();
  const std::string proposed = is_first ? fmt::format("{:08x}", std::random_device()()) : "";
  const std::string save = ranks.gather(proposed).front();
  together(ranks, folder, [&] {
    if (!is_first) return;
    refuse_foreign_index("write", folder);
    if (files::exists(folder) && !files::is_folder(folder)) {
      files::move_into_place(folder, aside(folder));
    }
  });
  const auto own = folder / part_name(ranks.rank(), save);
  try {
    together(ranks, folder, [&] { save_checkpoint(own, own_part(state, ranks.rank(), save)); });
  } catch (const CheckpointError&) {
    files::remove_file(own);
    throw;
  }
  together(ranks, folder, [&] {
    if (!is_first) return;
    write_index(folder, ranks.size(), save);
    remove_parts(folder, save);
    files::remove_file(aside(folder));
  });
}

bool has_checkpoint(const fs::path& given) {
  const auto path = without_tilde(given);
  return files::exists(files::is_folder(path) ? path / kIndex : path);
}

StateDict load_sharded_checkpoint(const fs::path& folder) {
  return put_together(without_tilde(folder), load_checkpoint);
}

StateDict load_sharded_outline(const fs::path& folder) {
  return put_together(without_tilde(folder), load_checkpoint_outline);
}

void require_only_checkpoint(const fs::path& given) {
  const auto folder = without_tilde(given);
  refuse_foreign_index("replace", folder);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name == kIndex || is_part_name(name)) continue;
    throw CheckpointError::io("replace", folder.string(),
                              fmt::format("it is a folder that holds '{}', which isn't a part of a "
                                          "checkpoint; name another path",
                                          name));
  }
  if (error) throw CheckpointError::io("list the folder", folder.string(), error.message());
}

void remove_checkpoint(const fs::path& given) {
  const auto path = without_tilde(given);
  if (!files::is_folder(path)) return files::remove_file(path);
  refuse_foreign_index("remove", path);
  files::remove_file(path / kIndex);  // first, so that the rest is no checkpoint
  remove_parts(path, "");
  files::remove_folder(path);
}

}  // namespace levin
