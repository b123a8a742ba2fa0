#include <levin/framework/checkpoint/torch_file.h>

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/checkpoint/torch_types.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/formats/pickle.h>
#include <levin/framework/formats/zip_records.h>

namespace levin {
namespace {

/// The Lightning that writes checkpoints of this form. Lightning adapts older ones to itself.
constexpr const char* kLightningVersion = "2.0.0";

/// Writes the pickle, and keeps the tensors that it refers to.
class TorchFileWriter {
 public:
  pickle::Writer& pickle() { return pickle_; }

  void weights(const StateDict& state) {
    pickle_.begin_ordered_dict();
    for (const auto& [name, tensor] : state.tensors) {
      pickle_.text(name);
      write_tensor(name, tensor);
    }
    pickle_.end_dict();
  }

  void value(const Value& value) {
    if (value.is_null()) {
      pickle_.none();
    } else if (value.is_bool()) {
      pickle_.boolean(value.as_bool());
    } else if (value.is_int()) {
      pickle_.integer(value.as_int());
    } else if (value.is_double()) {
      pickle_.real(value.as_double());
    } else if (value.is_string()) {
      pickle_.text(value.as_string());
    } else if (value.is_array()) {
      pickle_.begin_list();
      for (const auto& member : value.as_array()) this->value(member);
      pickle_.end_list();
    } else {
      pickle_.begin_dict();
      for (const auto& [name, member] : value.as_object()) {
        pickle_.text(name);
        this->value(member);
      }
      pickle_.end_dict();
    }
  }

  void write_to(const std::filesystem::path& path) && {
    const std::string program = std::move(pickle_).finish();
    const auto text = [](std::string_view part) { return std::as_bytes(std::span(part)); };
    std::vector<zip_records::NewRecord> records = {{"archive/data.pkl", text(program)},
                                                   {"archive/.format_version", text("1")},
                                                   {"archive/.storage_alignment", text("64")},
                                                   {"archive/byteorder", text("little")}};
    for (size_t i = 0; i < storages_.size(); ++i) {
      const auto& tensor = storages_[i];
      records.push_back(
          {fmt::format("archive/data/{}", i),
           {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}});
    }
    records.push_back({"archive/version", text("3\n")});
    std::vector<std::string> headers;
    const auto parts = zip_records::archive_parts(records, headers);
    files::write_atomically(without_tilde(path), parts);
  }

 private:
  using Memory =
      std::tuple<const void*, at::ScalarType, std::vector<int64_t>, std::vector<int64_t>>;

  /// The number of the tensor's storage in the file. It is that of an earlier tensor that has the
  /// same memory.
  size_t storage_of(const torch::Tensor& tensor) {
    if (tensor.numel() > 0) {
      const Memory memory(tensor.const_data_ptr(), tensor.scalar_type(), tensor.sizes().vec(),
                          tensor.strides().vec());
      const auto [found, is_new] = known_.try_emplace(memory, storages_.size());
      if (!is_new) return found->second;
    }
    storages_.push_back(tensor.detach().cpu().contiguous());
    return storages_.size() - 1;
  }

  void write_tensor(const std::string& name, const torch::Tensor& tensor) {
    if (!tensor.defined() || tensor.layout() != at::kStrided) {
      throw CheckpointError(fmt::format("can't save '{}': it is {}", name,
                                        tensor.defined() ? "sparse" : "undefined"));
    }
    const auto type = tensor.scalar_type();
    if (dtype_name(type).empty()) {
      throw CheckpointError(fmt::format("can't save '{}': PyTorch's files have no type {}", name,
                                        c10::toString(type)));
    }
    const size_t number = storage_of(tensor);
    const auto& stored = storages_[number];
    const bool has_class = !storage_name(type).empty();
    pickle_.global("torch._utils", has_class ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
    pickle_.begin_tuple();
    pickle_.begin_tuple();
    pickle_.text("storage");
    if (has_class) {
      pickle_.global("torch", storage_name(type));
    } else {
      pickle_.global("torch.storage", "UntypedStorage");
    }
    pickle_.text(fmt::format("{}", number));
    pickle_.text("cpu");
    pickle_.integer(has_class ? stored.numel() : static_cast<int64_t>(stored.nbytes()));
    pickle_.end_tuple();
    pickle_.persistent();
    pickle_.integer(0);
    write_numbers(stored.sizes());
    write_numbers(stored.strides());
    pickle_.boolean(false);  // requires no gradient
    pickle_.begin_ordered_dict();
    pickle_.end_dict();
    if (!has_class) pickle_.global("torch", dtype_name(type));
    pickle_.end_tuple();
    pickle_.call();
  }

  void write_numbers(at::IntArrayRef numbers) {
    pickle_.begin_tuple();
    for (const int64_t number : numbers) pickle_.integer(number);
    pickle_.end_tuple();
  }

  pickle::Writer pickle_;
  std::vector<torch::Tensor> storages_;
  std::map<Memory, size_t> known_;
};

}  // namespace

void save_torch_file(const std::filesystem::path& path, const StateDict& weights) {
  TorchFileWriter writer;
  writer.weights(weights);
  std::move(writer).write_to(path);
}

void save_lightning_file(const std::filesystem::path& path, const LightningCheckpoint& checkpoint) {
  TorchFileWriter writer;
  auto& pickle = writer.pickle();
  const auto put = [&](std::string_view name, const Value& value) {
    pickle.text(name);
    writer.value(value);
  };
  pickle.begin_dict();
  put("epoch", checkpoint.epoch);
  put("global_step", checkpoint.global_step);
  put("pytorch-lightning_version", kLightningVersion);
  pickle.text("state_dict");
  writer.weights(checkpoint.weights);
  put("callbacks", Value::Object{});
  put("optimizer_states", Value::Array{});
  put("lr_schedulers", Value::Array{});
  put("hparams_name", "kwargs");
  put("hyper_parameters", checkpoint.hyper_parameters);
  pickle.end_dict();
  std::move(writer).write_to(path);
}

}  // namespace levin
