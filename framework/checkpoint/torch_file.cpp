#include <levin/framework/checkpoint/torch_file.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/ops/from_blob.h>

#include <fmt/format.h>

#include <levin/framework/checkpoint/torch_types.h>
#include <levin/framework/core/error.h>
#include <levin/framework/formats/pickle.h>
#include <levin/framework/formats/zip_records.h>

namespace levin {
namespace {

constexpr int kDeepestNesting = 100;
constexpr int64_t kMostPlainValues = 1'000'000;
/// A tensor that repeats its storage's elements, as `expand` makes them, may have this many.
constexpr int64_t kMostRepeated = int64_t{1} << 20;
/// The most bytes of names and texts that are copied: a small file can refer to one text often.
constexpr size_t kMostTextBytes = size_t{64} << 20;
constexpr unsigned char kOldMagic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

bool has_old_magic(std::span<const std::byte> start) {
  return start.size() >= 2 + sizeof(kOldMagic) && start[0] == std::byte{0x80} &&
         std::memcmp(start.data() + 2, kOldMagic, sizeof(kOldMagic)) == 0;
}

/// Reverses the bytes of each element.
void swap_bytes(std::span<std::byte> bytes, size_t element) {
  for (size_t i = 0; element > 0 && i + element <= bytes.size(); i += element) {
    std::reverse(bytes.data() + i, bytes.data() + i + element);
  }
}

/// The records of a file that a pickle's tensors refer to.
class TorchStorages {
 public:
  TorchStorages(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                const std::string& path)
      : owner_(std::move(owner)), path_(path), archive_(bytes, path) {
    for (const auto& name : archive_.names()) {
      if (name.ends_with("/data.pkl") || name == "data.pkl") root_ = name;
    }
    if (root_.empty())
      fail("it is a zip archive, but has no record data.pkl, so torch.save didn't write it");
    root_.resize(root_.size() - std::string_view("data.pkl").size());
    if (archive_.contains(root_ + "constants.pkl")) {
      fail(
          "it is a TorchScript program; save the weights with torch.save(model.state_dict(), ...)");
    }
    std::vector<std::byte> inflated;
    if (archive_.contains(root_ + "byteorder")) {
      const auto order = archive_.read(root_ + "byteorder", inflated);
      is_big_endian_ = std::string_view(reinterpret_cast<const char*>(order.data()), order.size())
                           .starts_with("big");
    }
  }

  pickle::Graph program() {
    std::vector<std::byte> inflated;
    return pickle::parse(archive_.read(root_ + "data.pkl", inflated), path_);
  }

  /// The number of elements of a storage.
  int64_t numel(const std::string& key, at::ScalarType type) const {
    return static_cast<int64_t>(archive_.size(record(key)) / c10::elementSize(type));
  }

  /// All elements of a storage, as a tensor of one dimension.
  torch::Tensor elements(const std::string& key, at::ScalarType type) {
    const auto known = storages_.find({key, type});
    if (known != storages_.end()) return known->second;
    std::vector<std::byte> inflated;
    const auto bytes = archive_.read(record(key), inflated);
    const int64_t count = numel(key, type);
    const size_t element = c10::elementSize(type);
    const bool is_aligned = reinterpret_cast<uintptr_t>(bytes.data()) % element == 0;
    torch::Tensor tensor;
    if (inflated.empty() && is_aligned && !is_big_endian_ && count > 0) {
      auto* data = const_cast<std::byte*>(bytes.data());
      tensor = at::from_blob(
          data, {count}, [owner = owner_](void*) {}, type);
    } else {
      tensor = at::empty({count}, type);
      if (count > 0) {
        auto* data = static_cast<std::byte*>(tensor.mutable_data_ptr());
        std::memcpy(data, bytes.data(), tensor.nbytes());
        const bool is_complex = c10::isComplexType(type);
        if (is_big_endian_) swap_bytes({data, tensor.nbytes()}, is_complex ? element / 2 : element);
      }
    }
    storages_[{key, type}] = tensor;
    return tensor;
  }

  [[noreturn]] void fail(std::string_view reason) const {
    throw CheckpointError::corrupt(path_, reason);
  }

 private:
  std::string record(const std::string& key) const { return fmt::format("{}data/{}", root_, key); }

  std::shared_ptr<const void> owner_;
  const std::string& path_;
  zip_records::Archive archive_;
  std::string root_;  // the folder of the records in the archive, with its slash
  bool is_big_endian_ = false;
  std::map<std::pair<std::string, at::ScalarType>, torch::Tensor> storages_;
};

/// Turns a pickle's values into a StateDict.
class TorchValues {
 public:
  TorchValues(TorchStorages& storages, bool outline)
      : storages_(storages), outline_(outline), graph_(storages.program()) {}

  StateDict state() {
    const pickle::Node& root = graph_[graph_.root];
    if (root.kind != pickle::Kind::dict) {
      storages_.fail(
          "it doesn't hold a dict; save the weights with "
          "torch.save(model.state_dict(), ...)");
    }
    for (const char* name : {"state_dict", "model_state_dict", "model"}) {
      const pickle::Node* weights = graph_.find(root, name);
      if (weights == nullptr || weights->kind != pickle::Kind::dict) continue;
      is_state_dict_ = true;
      add_weights(*weights, "model.", 0);
      state_.values["model"] = Value::Object{};
      state_.values["torch"] = plain_members(root, name);
      return std::move(state_);
    }
    add_weights(root, "", 0);
    if (state_.tensors.empty()) storages_.fail("it holds no tensors");
    return std::move(state_);
  }

 private:
  /// Counts what is taken from the file, which may contain a value in itself or very often.
  void enter(int depth) {
    if (depth > kDeepestNesting) storages_.fail("its values are nested over 100 levels deep");
    if (++values_ > kMostPlainValues) storages_.fail("it has more than a million values");
  }

  const std::string& copied(const std::string& text) {
    text_size_ += text.size();
    if (text_size_ > kMostTextBytes) storages_.fail("its names and texts take more than 64 MiB");
    return text;
  }

  /// A dict's key as a name; empty if it is neither a text nor a number.
  std::string key_text(const pickle::Node& key) {
    if (key.kind == pickle::Kind::text) return copied(key.text);
    if (key.kind == pickle::Kind::integer && key.text.empty())
      return fmt::format("{}", key.integer);
    return {};
  }

  /// Whether an object is taken for a weight. In a state dict it is, unless a module added it by
  /// get_extra_state. Beside one, a file may have any objects, and PyTorch's own are its tensors.
  bool is_weight(const pickle::Node& object, const std::string& name) const {
    const pickle::Node& function = graph_[object.items[0]];
    return is_state_dict_
               ? !name.ends_with("_extra_state")
               : function.kind == pickle::Kind::global && function.text.starts_with("torch._");
  }

  /// Adds the tensors of a dict, of dicts in it too. Numbers, texts and lists beside them, which
  /// aren't weights, are left out.
  void add_weights(const pickle::Node& dict, const std::string& prefix, int depth) {
    enter(depth);
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      enter(depth);
      const std::string name = copied(prefix + key_text(graph_[dict.items[i]]));
      const pickle::Node& value = graph_[dict.items[i + 1]];
      if (value.kind == pickle::Kind::dict) {
        add_weights(value, name + ".", depth + 1);
      } else if (value.kind == pickle::Kind::call && is_weight(value, name)) {
        if (!state_.tensors.emplace(name, tensor_of(value, name, 0)).second) {
          storages_.fail(fmt::format("'{}' is there twice", shortened(name, 100)));
        }
      }
    }
  }

  Value plain_members(const pickle::Node& root, std::string_view without) {
    Value result = Value::Object{};
    for (size_t i = 0; i + 1 < root.items.size(); i += 2) {
      const std::string name = key_text(graph_[root.items[i]]);
      if (name.empty() || name == without || name == "optimizer_states" || name == "callbacks") {
        continue;
      }
      if (auto value = plain(graph_[root.items[i + 1]], 1)) result[name] = *std::move(value);
    }
    return result;
  }

  /// A value without tensors and objects in it, which are left out; nothing if it is one itself.
  std::optional<Value> plain(const pickle::Node& node, int depth) {
    enter(depth);
    switch (node.kind) {
      case pickle::Kind::none:
        return Value();
      case pickle::Kind::boolean:
        return Value(node.integer != 0);
      case pickle::Kind::integer:
        return node.text.empty() ? Value(node.integer) : Value(copied(node.text));
      case pickle::Kind::real:
        return Value(node.real);
      case pickle::Kind::text:
        return Value(copied(node.text));
      case pickle::Kind::tuple:
      case pickle::Kind::list:
      case pickle::Kind::set: {
        Value::Array array;
        for (const uint32_t item : node.items) {
          if (auto value = plain(graph_[item], depth + 1)) array.push_back(*std::move(value));
        }
        return Value(std::move(array));
      }
      case pickle::Kind::dict: {
        Value::Object object;
        for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
          const std::string name = key_text(graph_[node.items[i]]);
          auto value = plain(graph_[node.items[i + 1]], depth + 1);
          if (value && !name.empty()) object[name] = *std::move(value);
        }
        return Value(std::move(object));
      }
      default:
        return {};
    }
  }

  [[noreturn]] void refuse(const std::string& name, std::string_view found) {
    storages_.fail(
        fmt::format("'{}' is {}; only dense tensors can be read", shortened(name, 100), found));
  }

  /// The argument of that number of a call; refuses the tensor `name` if there is none of the kind.
  const pickle::Node& argument(const pickle::Node& call, size_t i, pickle::Kind kind,
                               const std::string& name) {
    const auto& arguments = graph_[call.items[1]].items;
    if (i >= arguments.size() || graph_[arguments[i]].kind != kind) {
      refuse(name, "described in an unknown way");
    }
    return graph_[arguments[i]];
  }

  /// A list of sizes or strides, all at least 0.
  std::vector<int64_t> numbers(const pickle::Node& given, const std::string& name) {
    std::vector<int64_t> result;
    if (given.items.size() > 64) refuse(name, "a tensor of more than 64 dimensions");
    for (const uint32_t item : given.items) {
      const pickle::Node& node = graph_[item];
      if (node.kind != pickle::Kind::integer || !node.text.empty() || node.integer < 0) {
        refuse(name, "a tensor whose sizes or strides aren't numbers from 0 on");
      }
      result.push_back(node.integer);
    }
    return result;
  }

  torch::Tensor tensor_of(const pickle::Node& call, const std::string& name, int depth) {
    enter(depth);
    const pickle::Node& function = graph_[call.items[0]];
    if (graph_.is_call_of(call, "torch._utils._rebuild_parameter") ||
        graph_.is_call_of(call, "torch._utils._rebuild_parameter_with_state")) {
      return tensor_of(argument(call, 0, pickle::Kind::call, name), name, depth + 1);
    }
    const bool has_dtype = graph_.is_call_of(call, "torch._utils._rebuild_tensor_v3");
    if (!has_dtype && !graph_.is_call_of(call, "torch._utils._rebuild_tensor_v2")) {
      refuse(name, function.kind == pickle::Kind::global
                       ? fmt::format("what {} returns", shortened(function.text, 100))
                       : "an object of an unknown class");
    }
    const pickle::Node& storage =
        graph_[argument(call, 0, pickle::Kind::persistent, name).items[0]];
    if (storage.kind != pickle::Kind::tuple || storage.items.size() < 3 ||
        graph_[storage.items[1]].kind != pickle::Kind::global ||
        graph_[storage.items[2]].kind != pickle::Kind::text) {
      refuse(name, "a tensor whose storage is described in an unknown way");
    }
    const std::string& type_name = has_dtype ? argument(call, 6, pickle::Kind::global, name).text
                                             : graph_[storage.items[1]].text;
    const auto type = has_dtype ? type_of_dtype(type_name) : type_of_storage(type_name);
    if (!type) refuse(name, fmt::format("a tensor of {}", shortened(type_name, 100)));
    const pickle::Node& offset = argument(call, 1, pickle::Kind::integer, name);
    const auto sizes = numbers(argument(call, 2, pickle::Kind::tuple, name), name);
    const auto strides = numbers(argument(call, 3, pickle::Kind::tuple, name), name);
    return view({graph_[storage.items[2]].text, *type}, offset, sizes, strides, name);
  }

  struct StorageName {
    std::string key;
    at::ScalarType type;
  };

  torch::Tensor view(const StorageName& storage, const pickle::Node& offset,
                     const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                     const std::string& name) {
    const int64_t elements = storages_.numel(storage.key, storage.type);
    int64_t count = 1;
    int64_t last = offset.integer;
    bool fits = sizes.size() == strides.size() && offset.text.empty() && last >= 0;
    bool is_empty = false;
    for (size_t i = 0; fits && i < sizes.size(); ++i) {
      is_empty = is_empty || sizes[i] == 0;
      int64_t reach = 0;
      const int64_t size = std::max<int64_t>(sizes[i], 1);
      fits = !__builtin_mul_overflow(count, size, &count) &&
             !__builtin_mul_overflow(size - 1, strides[i], &reach) &&
             !__builtin_add_overflow(last, reach, &last);
    }
    fits = fits && count <= (int64_t{1} << 55);
    if (!fits || (!is_empty && last >= elements)) {
      refuse(name, "a tensor that reaches behind the end of its storage");
    }
    if (!is_empty && count > std::max(elements, kMostRepeated)) {
      refuse(name, "a tensor that repeats its elements too often");
    }
    if (outline_) return at::empty(sizes, at::device(at::kMeta).dtype(storage.type));
    if (is_empty) return at::empty(sizes, storage.type);
    return storages_.elements(storage.key, storage.type).as_strided(sizes, strides, offset.integer);
  }

  TorchStorages& storages_;
  bool outline_;
  pickle::Graph graph_;
  StateDict state_;
  bool is_state_dict_ = false;
  int64_t values_ = 0;
  size_t text_size_ = 0;
};

}  // namespace

bool is_torch_file(std::span<const std::byte> start) {
  return zip_records::is_archive(start) || has_old_magic(start);
}

StateDict parse_torch_file(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                           const std::string& path, bool outline) {
  if (has_old_magic(bytes)) {
    throw CheckpointError::corrupt(
        path,
        "it has the form that PyTorch wrote before its version 1.6; load it there and save "
        "it anew");
  }
  TorchStorages storages(bytes, std::move(owner), path);
  return TorchValues(storages, outline).state();
}

}  // namespace levin
