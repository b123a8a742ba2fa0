#include <levin/framework/checkpoint/torch_file.h>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/digest.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/checkpoint/torch_types.h>
#include <levin/framework/core/error.h>
#include <levin/framework/formats/pickle.h>
#include <levin/framework/formats/zip_records.h>

#include "framework/message_of.h"
#include "framework/python.h"
#include "framework/support.h"

namespace levin::torch_file_test {

namespace fs = std::filesystem;
using test::message_of;
using test::read_file;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

const fs::path kFolder = fs::path(LEVIN_SOURCE_DIR) / "tests/baselines/torch_files";

Value baseline() { return Value::from_json(read_file(kFolder.string() + ".json")); }

torch::Tensor tensor_of(const Value& expected) {
  std::string bytes;
  const std::string& digits = expected.at("elements").as_string();
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  std::vector<int64_t> shape;
  for (const auto& extent : expected.at("shape").as_array()) shape.push_back(extent.as_int());
  const auto type = type_of_dtype("torch." + expected.at("dtype").as_string());
  return torch::from_blob(bytes.data(), shape, type.value()).clone();
}

void expect_tensors(const StateDict& state, const Value& expected, const std::string& file) {
  EXPECT_EQ(state.tensors.size(), expected.as_array().size()) << file;
  for (const auto& each : expected.as_array()) {
    const std::string& name = each.at("name").as_string();
    EXPECT_TRUE(same_bits(state.tensor(name), tensor_of(each))) << file << " " << name;
    EXPECT_FALSE(state.tensor(name).requires_grad()) << file << " " << name;
  }
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

StateDict parse(const std::string& file) {
  // Memory of its own, so that the address sanitizer sees what is read beyond its end.
  const auto exact = std::make_shared<std::vector<char>>(file.begin(), file.end());
  return parse_torch_file(std::as_bytes(std::span(*exact)), exact, "a.pt");
}

/// A file of torch.save with this pickle and one storage of four float32 numbers, "0".
std::string file_of(const std::string& pickle) {
  const std::string numbers(16, '\0');
  std::vector<std::string> headers;
  std::string file;
  for (const auto& part : zip_records::archive_parts(
           {{"a/data.pkl", bytes_of(pickle)}, {"a/data/0", bytes_of(numbers)}}, headers)) {
    file.append(reinterpret_cast<const char*>(part.data()), part.size());
  }
  return file;
}

struct Layout {
  std::vector<int64_t> sizes{4};
  std::vector<int64_t> strides{1};
  int64_t offset = 0;
  std::string storage = "FloatStorage";
  std::string function = "_rebuild_tensor_v2";
};

/// Writes a tensor over the storage "0".
void put_tensor(pickle::Writer& writer, const Layout& layout) {
  const auto numbers = [&](const std::vector<int64_t>& list) {
    writer.begin_tuple();
    for (const int64_t number : list) writer.integer(number);
    writer.end_tuple();
  };
  writer.global("torch._utils", layout.function);
  writer.begin_tuple();
  writer.begin_tuple();
  writer.text("storage");
  writer.global("torch", layout.storage);
  writer.text("0");
  writer.text("cpu");
  writer.integer(4);
  writer.end_tuple();
  writer.persistent();
  writer.integer(layout.offset);
  numbers(layout.sizes);
  numbers(layout.strides);
  writer.boolean(false);
  writer.begin_ordered_dict();
  writer.end_dict();
  writer.end_tuple();
  writer.call();
}

/// A file whose dict has the tensor "w".
std::string file_with(const Layout& layout) {
  pickle::Writer writer;
  writer.begin_dict();
  writer.text("w");
  put_tensor(writer, layout);
  writer.end_dict();
  return file_of(std::move(writer).finish());
}

std::string message(const std::string& file) {
  return message_of<CheckpointError>([&] { parse(file); });
}

// tests/baselines/torch_files.py
TEST(TorchFile, reads_what_torch_save_wrote) {
  const auto expected = baseline();
  for (const auto& item : expected.at("cases").as_array()) {
    const std::string& file = item.at("file").as_string();
    expect_tensors(module_weights(load_checkpoint(kFolder / file)), item.at("tensors"), file);
  }
  EXPECT_EQ(expected.at("cases").as_array().size(), 8U);
}

TEST(TorchFile, reads_the_weights_and_settings_of_lightnings_checkpoints) {
  for (const auto& item : baseline().at("checkpoints").as_array()) {
    const std::string& file = item.at("file").as_string();
    const StateDict state = load_checkpoint(kFolder / file);
    expect_tensors(module_weights(state), item.at("tensors"), file);
    const Value& rest = state.values.at("torch");
    EXPECT_EQ(rest.at("hyper_parameters"), item.at("hyper_parameters")) << file;
    EXPECT_EQ(rest.at("epoch"), Value(3)) << file;
    EXPECT_EQ(rest.at("global_step"), Value(9)) << file;
    EXPECT_FALSE(is_whole_checkpoint(state)) << file;
  }
}

TEST(TorchFile, tensors_that_share_memory_go_on_sharing_it) {
  const StateDict state = load_checkpoint(kFolder / "views.pt");
  state.tensor("table").fill_(7.0);
  for (const char* name : {"corner", "turned", "row", "number", "repeated"}) {
    EXPECT_TRUE(state.tensor(name).eq(7.0).all().item<bool>()) << name;
  }
  EXPECT_EQ(state.tensor("turned").strides(), (std::vector<int64_t>{1, 4}));
}

TEST(TorchFile, an_outline_has_no_elements) {
  const StateDict state = load_checkpoint_outline(kFolder / "mlp.ckpt");
  EXPECT_TRUE(state.tensor("model.net.0.weight").is_meta());
  EXPECT_EQ(state.tensor("model.net.0.weight").sizes(), (std::vector<int64_t>{5, 4}));
  EXPECT_EQ(state.values.at("torch").at("hyper_parameters").at("in_features"), Value(4));
}

TEST(TorchFile, an_object_in_the_place_of_a_weight_is_refused_by_name) {
  const auto file = [](const char* member) {
    pickle::Writer writer;
    writer.begin_dict();
    writer.text("hyper_parameters");
    writer.global("os", "system");
    writer.begin_tuple();
    writer.text("touch x");
    writer.end_tuple();
    writer.call();
    writer.text("state_dict");
    writer.begin_dict();
    writer.text("v");
    put_tensor(writer, {});
    writer.text(member);
    writer.global("my.library", "Packed");
    writer.begin_tuple();
    writer.end_tuple();
    writer.call();
    writer.end_dict();
    writer.end_dict();
    return file_of(std::move(writer).finish());
  };
  EXPECT_TRUE(says(message(file("w")), {"'a.pt'", "'model.w' is what my.library.Packed returns",
                                        "only dense tensors can be read"}));
  const StateDict read = parse(file("layer._extra_state"));  // of get_extra_state
  EXPECT_EQ(read.tensors.size(), 1U);
  EXPECT_FALSE(read.values.at("torch").contains("hyper_parameters"));
  EXPECT_TRUE(says(message(file_with({.function = "_rebuild_qtensor"})),
                   {"'w' is what torch._utils._rebuild_qtensor returns"}));
  EXPECT_TRUE(says(message(file_with({.storage = "QInt8Storage"})),
                   {"'w' is a tensor of torch.QInt8Storage"}));
}

TEST(TorchFile, a_tensor_must_lie_in_its_storage) {
  EXPECT_EQ(parse(file_with({})).tensor("w").sizes(), (std::vector<int64_t>{4}));
  EXPECT_EQ(parse(file_with({.sizes = {0}, .offset = 9})).tensor("w").numel(), 0);
  const auto huge = int64_t{1} << 62;
  const std::vector<Layout> wrong = {
      {.sizes = {5}},
      {.offset = 1},
      {.offset = -1},
      {.sizes = {-1}},
      {.strides = {-1}},
      {.strides = {2}},
      {.sizes = {2, 2}},
      {.sizes = {huge, huge}, .strides = {0, 0}},
      {.sizes = {2}, .strides = {huge}},
      {.sizes = {int64_t{1} << 40}, .strides = {0}},
      {.sizes = {0, huge, huge}, .strides = {1, 1, 1}},
  };
  for (size_t i = 0; i < wrong.size(); ++i) {
    EXPECT_TRUE(says(message(file_with(wrong[i])), {"'a.pt'", "'w' is a tensor"})) << i;
  }
}

// Dicts that contain each other ten times make 10^k values of a few bytes.
TEST(TorchFile, values_that_are_too_many_or_too_deep_are_refused) {
  std::string laughs = "\x80\x02}q";
  laughs += '\0';
  for (int level = 1; level < 12; ++level) {
    laughs += "}(";
    for (int i = 0; i < 10; ++i) {
      laughs += std::string("K") + static_cast<char>(i) + "h" + static_cast<char>(level - 1);
    }
    laughs += std::string("uq") + static_cast<char>(level);
  }
  EXPECT_TRUE(says(message(file_of(laughs + ".")), {"more than a million values"}));
  const std::string itself = std::string("\x80\x02}q\0K\x01h\0s.", 11);
  EXPECT_TRUE(says(message(file_of(itself)), {"nested over 100 levels deep"}));
  // One long name, of which each of many dicts would make another.
  std::string names = "\x80\x02X" + std::string("\0\0\x01\0", 4) + std::string(65536, 'n') + "q";
  names += '\0';
  names += "}q\x01h" + std::string(1, '\0') + "}s0}(";
  for (int i = 0; i < 2000; ++i) {
    names += std::string("M") + static_cast<char>(i & 0xff) + static_cast<char>(i >> 8) + "h\x01";
  }
  EXPECT_TRUE(says(message(file_of(names + "u.")), {"more than 64 MiB"}));
}

TEST(TorchFile, other_files_are_refused_with_advice) {
  const std::string old =
      std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14);
  EXPECT_TRUE(says(message(old + "."), {"before its version 1.6", "save it anew"}));
  const std::string text = "text";
  const auto archive = [&](const std::string& name) {
    std::vector<std::string> headers;
    std::string file;
    for (const auto& part : zip_records::archive_parts(
             {{name, bytes_of(text)}, {"a/data.pkl", bytes_of(text)}}, headers)) {
      file.append(reinterpret_cast<const char*>(part.data()), part.size());
    }
    return file;
  };
  EXPECT_TRUE(says(message(archive("a/constants.pkl")), {"TorchScript", "torch.save"}));
  pickle::Writer writer;
  writer.integer(3);
  EXPECT_TRUE(says(message(file_of(std::move(writer).finish())), {"doesn't hold a dict"}));
  pickle::Writer empty;
  empty.begin_dict();
  empty.end_dict();
  EXPECT_TRUE(says(message(file_of(std::move(empty).finish())), {"holds no tensors"}));
}

TEST(TorchFile, a_damaged_file_is_refused_or_reads_tensors_of_its_size) {
  const auto check = [](const std::string& damaged) {
    try {
      for (const auto& [name, tensor] : parse(damaged).tensors) {
        tensor.clone();  // reads each element
        EXPECT_LE(tensor.numel(), int64_t{1} << 20);
      }
      return true;
    } catch (const CheckpointError&) {
      return false;
    }
  };
  const std::string file = read_file(kFolder / "parameters.pt");
  for (size_t size = 0; size < file.size(); size += 3) EXPECT_FALSE(check(file.substr(0, size)));
  // Under a checksum that fits, or the pickle's damage wouldn't be reached.
  pickle::Writer writer;
  writer.begin_dict();
  for (const char* name : {"w", "v"}) {
    writer.text(name);
    put_tensor(writer, {.sizes = {2, 2}, .strides = {2, 1}});
  }
  writer.end_dict();
  const std::string good = std::move(writer).finish();
  size_t read = 0;
  for (size_t place = 0; place < good.size(); ++place) {
    for (const int change : {1, 2, 4, 8, 16, 32, 64, 128, 0xff}) {
      std::string damaged = good;
      damaged[place] = static_cast<char>(damaged[place] ^ change);
      read += check(file_of(damaged)) ? 1 : 0;
    }
  }
  EXPECT_GT(read, 10U);
}

StateDict sample() {
  StateDict state;
  const auto numbers = torch::tensor({0.0, 1.0, 2.0, 100.0}, torch::kDouble);
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                          at::kShort, at::kChar, at::kByte, at::kBool, at::kUInt16, at::kUInt32,
                          at::kUInt64, at::kComplexFloat, at::kFloat8_e4m3fn}) {
    state.tensors[std::string("types.") + c10::toString(type)] = numbers.to(type);
  }
  state.tensors["scalar"] = torch::tensor(1.5, torch::kDouble);
  state.tensors["empty"] = torch::zeros({3, 0}, torch::kFloat);
  state.tensors["turned"] = torch::arange(6, torch::kFloat).reshape({2, 3}).t();
  state.tensors["parameter"] = torch::ones({3}, torch::requires_grad());
  state.tensors["tied"] = state.tensors["parameter"];
  return state;
}

class TorchFileWriting : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
};

TEST_F(TorchFileWriting, what_is_written_is_read_with_the_same_bits) {
  const auto path = folder_ / "w.pt";
  const StateDict state = sample();
  save_torch_file(path, state);
  const StateDict read = load_checkpoint(path);
  ASSERT_EQ(read.tensors.size(), state.tensors.size());
  for (const auto& [name, tensor] : state.tensors) {
    EXPECT_TRUE(same_bits(read.tensor(name), tensor)) << name;
  }
  EXPECT_EQ(read.tensor("tied").const_data_ptr(), read.tensor("parameter").const_data_ptr());
  const std::string file = read_file(path);
  const double hundred = 100.0;  // the last of the float64 numbers
  const std::string bytes(reinterpret_cast<const char*>(&hundred), sizeof(hundred));
  EXPECT_EQ((file.find(bytes) - 3 * sizeof(double)) % 64, 0U);
}

TEST_F(TorchFileWriting, a_checkpoint_for_lightning_has_weights_settings_and_counts) {
  const auto path = folder_ / "l.ckpt";
  StateDict weights;
  weights.tensors["linear.weight"] = torch::rand({2, 3});
  const Value settings = Value::Object{{"in_features", 3}, {"rates", Value::Array{0.5, nullptr}}};
  save_lightning_file(path, {weights, settings, 4, 20});
  const StateDict read = load_checkpoint(path);
  EXPECT_TRUE(
      same_bits(module_weights(read).tensor("linear.weight"), weights.tensors.at("linear.weight")));
  EXPECT_EQ(read.values.at("torch").at("hyper_parameters"), settings);
  EXPECT_EQ(read.values.at("torch").at("epoch"), Value(4));
  EXPECT_EQ(read.values.at("torch").at("global_step"), Value(20));
}

// Row 34 for PyTorch: what Levin writes is what Python reads, under weights_only and by mmap.
TEST_F(TorchFileWriting, python_reads_the_same_bits) {
  StateDict state = sample();
  const Value settings = Value::Object{{"in_features", 3}, {"num_classes", 2}};
  state.tensors["linear.weight"] = torch::rand({2, 3});
  state.tensors["linear.bias"] = torch::rand({2});
  save_lightning_file(folder_ / "l.ckpt", {state, settings, 4, 20});
  save_torch_file(folder_ / "w.pt", state);
  const auto result = test::run_python(
      "torch_read.py", {(folder_ / "w.pt").string(), (folder_ / "l.ckpt").string()});
  if (result.status == 77) GTEST_SKIP() << "no Python with torch; set LEVIN_PYTHON to one";
  ASSERT_EQ(result.status, 0) << result.output;
  const Value both = Value::from_json(result.output);
  for (const Value& read : both.as_array()) {
    EXPECT_EQ(read.at("tensors").as_object().size(), state.tensors.size());
    for (const auto& [key, tensor] : state.tensors) {
      const Value& entry = read.at("tensors").at(key);
      const auto plain = tensor.detach().contiguous();
      const std::span bytes(static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes());
      EXPECT_EQ(entry.at("dtype"), Value(std::string(dtype_name(tensor.scalar_type())))) << key;
      EXPECT_EQ(entry.at("shape"),
                Value(Value::Array(tensor.sizes().begin(), tensor.sizes().end())));
      EXPECT_EQ(entry.at("sha256"), Value(readers::digest_hex(readers::DigestKind::sha256, bytes)))
          << key;
    }
  }
  const Value& lightning = both.as_array().at(1);
  EXPECT_EQ(lightning.at("hyper_parameters"), settings);
  if (lightning.at("loaded").is_null()) GTEST_SKIP() << "this Python lacks pytorch-lightning";
  EXPECT_EQ(lightning.at("loaded"), Value(Value::Array{"linear.weight", "linear.bias"}));
}

TEST_F(TorchFileWriting, sparse_tensors_are_refused_by_name) {
  StateDict state;
  state.tensors["w"] = torch::ones({2, 2}).to_sparse();
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { save_torch_file(folder_ / "s.pt", state); }),
                   {"can't save 'w'", "sparse"}));
  EXPECT_FALSE(fs::exists(folder_ / "s.pt"));
}

}  // namespace levin::torch_file_test
