#include <levin/serving/protocol/infer_messages.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

namespace levin::infer_messages_test {

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::vector<T> values_of(const WireTensor& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(T));
  return values;
}

/// The message of the Refusal with which a body is refused, whether it is still needed or not; ""
/// if it isn't refused.
std::string refusal_of(const std::string& body, std::string_view json_length = {}) {
  const auto message_of = [&](auto&& given) -> std::string {
    try {
      parse_infer_request(std::forward<decltype(given)>(given), json_length);
    } catch (const Refusal& refusal) {
      EXPECT_EQ(refusal.status(), 400);
      return refusal.what();
    }
    return "";
  };
  const auto message = message_of(body);
  EXPECT_EQ(message_of(std::string(body)), message);
  return message;
}

std::string one_input(const std::string& shape, const std::string& type, const std::string& data) {
  return R"({"inputs":[{"name":"x","shape":)" + shape + R"(,"datatype":")" + type + R"(","data":)" +
         data + "}]}";
}

void expect_equal(const WireTensor& a, const WireTensor& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.data, b.data) << a.name;
}

InferenceRequest sample_request() {
  InferenceRequest request{.model = "digits", .version = "3", .id = "a\"\n\xc3\xa9"};
  request.inputs.push_back({"x", WireType::fp32, {2, 2}, raw<float>({1.5F, -0.1F, 3e-39F, 7.0F})});
  WireTensor texts{"t", WireType::bytes, {2}, ""};
  append_bytes_element(texts.data, "\xc3\xa9t\xc3\xa9");
  append_bytes_element(texts.data, "");
  request.inputs.push_back(texts);
  request.inputs.push_back({"n", WireType::uint64, {2, 1}, raw<uint64_t>({0, UINT64_MAX})});
  request.outputs = {{"class", true, 0}, {"probability", {}, 3}};
  request.binary_outputs = true;
  request.priority = 2;
  request.timeout_us = 2500;
  return request;
}

TEST(InferMessages, reads_flat_and_nested_data_of_every_type) {
  const auto flat = parse_infer_request(one_input("[2,2]", "FP32", "[1,2.5,-3,4e2]"));
  EXPECT_EQ(values_of<float>(flat.inputs.at(0)), (std::vector<float>{1, 2.5, -3, 400}));
  EXPECT_EQ(flat.rows(), 2);
  const auto nested = parse_infer_request(one_input("[2,2]", "FP32", "[[1,2.5],[-3,4e2]]"));
  EXPECT_EQ(nested.inputs.at(0).data, flat.inputs.at(0).data);
  const auto read = [](const char* type, const char* data) {
    return parse_infer_request(one_input("[2]", type, data)).inputs.at(0);
  };
  EXPECT_EQ(read("BOOL", "[true,0]").data, std::string("\1\0", 2));
  EXPECT_EQ(read("UINT8", "[0,255]").data, std::string("\0\xff", 2));
  EXPECT_EQ(read("INT8", "[-128,127]").data, std::string("\x80\x7f", 2));
  EXPECT_EQ(values_of<int16_t>(read("INT16", "[-32768,1]")), (std::vector<int16_t>{-32768, 1}));
  EXPECT_EQ(values_of<uint16_t>(read("UINT16", "[65535,1]")), (std::vector<uint16_t>{65535, 1}));
  EXPECT_EQ(values_of<int32_t>(read("INT32", "[-2147483648,1]")),
            (std::vector<int32_t>{INT32_MIN, 1}));
  EXPECT_EQ(values_of<uint32_t>(read("UINT32", "[4294967295,1]")),
            (std::vector<uint32_t>{UINT32_MAX, 1}));
  EXPECT_EQ(values_of<int64_t>(read("INT64", "[-9223372036854775808,9223372036854775807]")),
            (std::vector<int64_t>{INT64_MIN, INT64_MAX}));
  EXPECT_EQ(values_of<uint64_t>(read("UINT64", "[18446744073709551615,0]")),
            (std::vector<uint64_t>{UINT64_MAX, 0}));
  EXPECT_EQ(values_of<double>(read("FP64", "[0.1,-1e308]")), (std::vector<double>{0.1, -1e308}));
  EXPECT_EQ(bytes_elements(read("BYTES", R"(["a","\u00e9"])")),
            (std::vector<std::string_view>{"a", "\xc3\xa9"}));
  const auto special = values_of<float>(read("FP32", R"(["NaN","-Infinity"])"));
  EXPECT_TRUE(std::isnan(special[0]));
  EXPECT_EQ(special[1], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(values_of<float>(read("FP32", "[3.4028235e38,0]"))[0],
            std::numeric_limits<float>::max());
}

TEST(InferMessages, writes_null_for_floats_that_are_not_finite_and_reads_what_others_write) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {std::nanf(""), infinity, -infinity, 1.5F};
  const InferenceResponse answer{"m", "1", "", {{"y", WireType::fp32, {4}, raw(values)}}};
  const std::string written = write_infer_response(answer, {}, {}).body;
  const size_t begin = written.find("\"data\":") + 7;
  const std::string data = written.substr(begin, written.find(']', begin) + 1 - begin);
  EXPECT_EQ(data, "[null,null,null,1.5]");
  const auto nans = parse_infer_request(one_input("[4]", "FP32", data)).inputs.at(0);
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(std::isnan(values_of<float>(nans)[static_cast<size_t>(i)]));
  for (const char* given :
       {"[NaN,Infinity,-Infinity,1.5]", "[[ NaN , Infinity],[-Infinity\n, 1.5 ]]",
        R"([null,"Infinity","-Infinity",1.5])"}) {
    const auto request = parse_infer_request(one_input("[4]", "FP32", given));
    const auto read = values_of<float>(request.inputs.at(0));
    ASSERT_EQ(read.size(), values.size());
    EXPECT_TRUE(std::isnan(read[0]));
    EXPECT_TRUE(std::equal(read.begin() + 1, read.end(), values.begin() + 1)) << given;
  }
  // Texts stay as they are.
  const auto texts = parse_infer_request(
      R"({"id":"a\\","parameters":{"note":"\", NaN]"},"inputs":[{"name":"NaN","shape":[2],)"
      R"("datatype":"FP64","data":[NaN,2]},{"name":"t","shape":[2],"datatype":"BYTES",)"
      R"("data":["NaN","[Infinity]"]}]})");
  EXPECT_EQ(texts.id, "a\\");
  EXPECT_EQ(texts.inputs.at(0).name, "NaN");
  EXPECT_TRUE(std::isnan(values_of<double>(texts.inputs.at(0))[0]));
  EXPECT_EQ(bytes_elements(texts.inputs.at(1)),
            (std::vector<std::string_view>{"NaN", "[Infinity]"}));
}

TEST(InferMessages, says_what_is_wrong_and_where) {
  EXPECT_EQ(refusal_of(one_input("[1,4]", "FP32", "[1,2,3]")),
            "inputs[0].data has 3 elements, but its shape [1, 4] has 4");
  EXPECT_EQ(refusal_of(one_input("[1,2]", "FP32", "[1,2,3]")),
            "inputs[0].data has 3 elements, but its shape [1, 2] has 2");
  EXPECT_EQ(refusal_of(one_input("[1,1099511627776]", "FP64", "[1,[2]]")),
            "inputs[0].data has 2 elements, but its shape [1, 1099511627776] has 1099511627776");
  EXPECT_EQ(refusal_of(one_input("[4294967296,4294967296]", "FP32", "[]")),
            "inputs[0].shape has too many elements");
  EXPECT_EQ(refusal_of(one_input("[-1,2]", "FP32", "[1,2]")),
            "inputs[0].shape[0] must be an integer of at least 1");
  EXPECT_EQ(refusal_of(one_input("[2]", "UINT8", "[1,256]")),
            "inputs[0].data: element 1 is a number of another type or range, which isn't UINT8");
  EXPECT_EQ(refusal_of(one_input("[2]", "INT32", "[1,1.5]")),
            "inputs[0].data: element 1 is a number of another type or range, which isn't INT32");
  EXPECT_EQ(refusal_of(one_input("[1]", "UINT64", "[-1]")),
            "inputs[0].data: element 0 is a number of another type or range, which isn't UINT64");
  EXPECT_EQ(refusal_of(one_input("[2]", "FP32", "[1,1e39]")),
            "inputs[0].data: element 1 is a number of another type or range, which isn't FP32");
  EXPECT_EQ(refusal_of(one_input("[1]", "FP32", R"(["x"])")),
            "inputs[0].data: element 0 is a string, which isn't FP32");
  EXPECT_EQ(refusal_of(one_input("[1]", "FP16", "[1]")),
            "inputs[0].data: FP16 can only be sent as binary data");
  EXPECT_EQ(refusal_of(one_input("[1]", "FP33", "[1]")),
            "inputs[0].datatype is 'FP33', which isn't a type of the Open Inference Protocol");
  EXPECT_EQ(refusal_of(R"({"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]})"),
            "inputs[0].data is missing");
  EXPECT_EQ(refusal_of("{}"), "inputs is missing");
  EXPECT_EQ(refusal_of(R"({"inputs":[]})"), "inputs is empty");
  EXPECT_EQ(refusal_of("[1]"), "the body must be a JSON object, but is an array");
  EXPECT_EQ(refusal_of(""), "the body is empty; it must be JSON");
  EXPECT_EQ(refusal_of(R"({"inputs":[{"name":"x","shape":[2],"datatype":"UINT8","data":[1,2]},)"
                       R"({"name":"y","shape":[1],"datatype":"UINT8","data":[1]}]})"),
            "inputs[1] has 1 rows, but inputs[0] has 2; all must have the same number");
  EXPECT_EQ(refusal_of(one_input("[1]", "INT32", "[NaN]")),
            "inputs[0].data: element 0 is null, which isn't INT32");
  for (const char* wrong : {"[nan]", "[-NaN]", "[NaNs]", "[NaN NaN]", "[1NaN]", "[Infinity1]",
                            "[--Infinity]", "[Inf]", R"([NaN"1"])", "[{NaN:1}]", "[NaN"}) {
    EXPECT_NE(refusal_of(one_input("[1]", "FP32", wrong)).find("isn't valid JSON"),
              std::string::npos)
        << wrong;
  }
  EXPECT_NE(refusal_of(std::string(100, '[') + std::string(100, ']')).find("nested"),
            std::string::npos);
  EXPECT_EQ(refusal_of(R"({"parameters":{"timeout":-1},"inputs":[]})"),
            "parameters.timeout must be an integer from 0 to 2^63 - 1, but is another number");
  EXPECT_EQ(refusal_of(R"({"id":5,"inputs":[]})"), "id must be a string, but is a number");
}

TEST(InferMessages, checks_the_lengths_of_binary_data) {
  const std::string json = R"({"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32",)"
                           R"("parameters":{"binary_data_size":8}}]})";
  const auto length = std::to_string(json.size());
  const auto data = raw<float>({1.0F, 2.0F});
  EXPECT_EQ(parse_infer_request(json + data, length).inputs.at(0).data, data);
  EXPECT_EQ(refusal_of(json + data.substr(1), length),
            "inputs[0].parameters.binary_data_size is 8, but only 7 bytes of the body are left");
  EXPECT_EQ(refusal_of(json + data + "..", length),
            "the body has 2 bytes more than its tensors take");
  EXPECT_EQ(refusal_of(json, "1000"),
            "Inference-Header-Content-Length is 1000, but the body has only 93 bytes");
  EXPECT_EQ(refusal_of(json, "-1"),
            "Inference-Header-Content-Length is '-1', which isn't a number of bytes");
  const std::string wrong = R"({"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64",)"
                            R"("parameters":{"binary_data_size":8}}]})";
  EXPECT_EQ(refusal_of(wrong + data, length),
            "inputs[0].parameters.binary_data_size is 8, but FP64 [1, 2] takes 16 bytes");
}

TEST(InferMessages, a_body_that_is_no_longer_needed_becomes_the_data_of_its_last_tensor) {
  const std::string json =
      R"({"id":"7","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32",)"
      R"("parameters":{"binary_data_size":8}},{"name":"y","shape":[1,100],"datatype":"FP32",)"
      R"("parameters":{"binary_data_size":400}}],"outputs":[{"name":"class"}]})";
  const auto length = std::to_string(json.size());
  const auto first = raw<float>({1.0F, 2.0F});
  const auto last = raw<float>(std::vector<float>(100, 3.0F));
  const std::string body = json + first + last;
  std::string own = body;
  const char* const memory = own.data();
  const auto request = parse_infer_request(std::move(own), length);
  EXPECT_EQ(request.inputs.at(0).data, first);
  EXPECT_EQ(request.inputs.at(1).data, last);
  EXPECT_EQ(static_cast<const void*>(request.inputs.at(1).data.data()), memory);
  EXPECT_EQ(request.id, "7");
  EXPECT_EQ(request.outputs.at(0).name, "class");
  const auto kept = parse_infer_request(body, length);
  EXPECT_EQ(kept.inputs.at(1).data, last);
  EXPECT_EQ(body, json + first + last);
  EXPECT_EQ(
      refusal_of(json + first + last.substr(1), length),
      "inputs[1].parameters.binary_data_size is 400, but only 399 bytes of the body are left");
}

TEST(InferMessages, takes_raw_requests_of_models_with_one_input) {
  ModelMetadata model{.name = "m", .inputs = {{"input", WireType::fp32, {-1, 2}}}};
  const auto data = raw<float>({1.0F, 2.0F, 3.0F, 4.0F});
  const auto request = parse_infer_request(data, "0", &model);
  EXPECT_EQ(request.inputs.at(0).shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(request.inputs.at(0).data, data);
  EXPECT_TRUE(request.binary_outputs);
  EXPECT_THROW(parse_infer_request(data.substr(1), "0", &model), Refusal);
  EXPECT_THROW(parse_infer_request("", "0", &model), Refusal);
  EXPECT_THROW(parse_infer_request(data, "0"), Refusal);
  model.inputs.push_back(model.inputs.front());
  EXPECT_THROW(parse_infer_request(data, "0", &model), Refusal);
}

TEST(InferMessages, a_request_survives_being_written_and_read) {
  const auto request = sample_request();
  for (const bool binary : {true, false}) {
    const auto written = write_infer_request(request, binary);
    EXPECT_EQ(written.is_binary(), binary);
    const auto read = parse_infer_request(written.body, std::to_string(written.json_bytes));
    EXPECT_EQ(read.model, request.model);
    EXPECT_EQ(read.version, request.version);
    EXPECT_EQ(read.id, request.id);
    EXPECT_EQ(read.binary_outputs, request.binary_outputs);
    EXPECT_EQ(read.priority, request.priority);
    EXPECT_EQ(read.timeout_us, request.timeout_us);
    ASSERT_EQ(read.inputs.size(), request.inputs.size());
    for (size_t i = 0; i < read.inputs.size(); ++i) {
      expect_equal(read.inputs[i], request.inputs[i]);
    }
    ASSERT_EQ(read.outputs.size(), 2U);
    EXPECT_EQ(read.outputs[0].binary, true);
    EXPECT_EQ(read.outputs[1].binary, std::nullopt);
    EXPECT_EQ(read.outputs[1].classification, 3);
  }
  expect_equal(request_from_wire(to_wire(request)).inputs.at(1), request.inputs[1]);
}

TEST(InferMessages, every_float_reads_back_as_the_same_float) {
  std::mt19937 random(5);
  std::vector<float> values;
  while (values.size() < 20000) {
    const uint32_t bits = static_cast<uint32_t>(random());
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    if (std::isfinite(value)) values.push_back(value);
  }
  const auto count = static_cast<int64_t>(values.size());
  InferenceRequest request;
  request.inputs.push_back({"x", WireType::fp32, {count}, raw(values)});
  const auto read = parse_infer_request(write_infer_request(request, false).body);
  EXPECT_TRUE(read.inputs.at(0).data == request.inputs[0].data);
}

TEST(InferMessages, an_answer_has_the_outputs_that_the_request_asks_for) {
  InferenceResponse response{.model = "m", .version = "1", .id = "7"};
  response.outputs.push_back({"class", WireType::int64, {1}, raw<int64_t>({2})});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  response.outputs.push_back(
      {"probability", WireType::fp32, {1, 3}, raw<float>({0.1F, nan, 0.25F})});
  EXPECT_EQ(write_infer_response(response, {}).body,
            R"({"model_name":"m","model_version":"1","id":"7","outputs":[)"
            R"({"name":"class","datatype":"INT64","shape":[1],"data":[2]},)"
            R"({"name":"probability","datatype":"FP32","shape":[1,3],"data":[0.1,null,0.25]}]})");
  InferenceRequest request;
  request.outputs = {{"probability", {}, 2}, {"class", true, 0}};
  const auto written = write_infer_response(response, request, {"a", "b", "c"});
  EXPECT_EQ(written.body.substr(0, written.json_bytes),
            R"({"model_name":"m","model_version":"1","id":"7","outputs":[)"
            R"({"name":"probability","datatype":"BYTES","shape":[1,2],)"
            R"("data":["0.25:2:c","0.1:0:a"]},)"
            R"({"name":"class","datatype":"INT64","shape":[1],)"
            R"("parameters":{"binary_data_size":8}}]})");
  EXPECT_EQ(written.body.substr(written.json_bytes), response.outputs[0].data);
  EXPECT_EQ(written.content_type(), "application/octet-stream");
  const auto read = parse_infer_response(written.body, std::to_string(written.json_bytes));
  expect_equal(read.outputs.at(1), response.outputs[0]);
  request.outputs = {{"logits", {}, 0}};
  EXPECT_THROW(write_infer_response(response, request), Refusal);
}

TEST(InferMessages, an_outcome_survives_being_written_and_read) {
  InferenceResponse response{.model = "m", .version = "1", .id = "7"};
  response.outputs.push_back({"class", WireType::int64, {0}, ""});
  response.outputs.push_back({"value", WireType::bf16, {2}, "abcd"});
  const auto read = outcome_from_wire(to_wire(InferenceOutcome(response)));
  ASSERT_TRUE(std::holds_alternative<InferenceResponse>(read));
  expect_equal(std::get<InferenceResponse>(read).outputs.at(1), response.outputs[1]);
  const auto refused =
      outcome_from_wire(to_wire(InferenceOutcome(Refusal::overloaded("full \"q\"", 3))));
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_STREQ(std::get<Refusal>(refused).what(), "full \"q\"");
  EXPECT_EQ(std::get<Refusal>(refused).status(), 429);
  EXPECT_EQ(std::get<Refusal>(refused).retry_after(), 3);
  EXPECT_THROW(outcome_from_wire("12\n"), Refusal);
  EXPECT_THROW(outcome_from_wire("nothing"), Refusal);
}

}  // namespace levin::infer_messages_test
