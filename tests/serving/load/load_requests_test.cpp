#include <levin/serving/load/load_requests.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/npy.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>

#include "framework/temporary_folder.h"

namespace levin::load_requests_test {

const HttpAddress kServer = {.host = "127.0.0.1", .port = 8000};
const std::vector<TensorMetadata> kInputs = {
    {.name = "x", .type = WireType::fp32, .shape = {-1, 2}},
    {.name = "n", .type = WireType::int64, .shape = {-1}}};

std::string body_of(const std::string& request) {
  return request.substr(request.find("\r\n\r\n") + 4);
}
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(LoadRequests, rows_of_a_file_are_sent_in_each_format) {
  const LoadRows rows{.rows = 3, .columns = 3, .values = {0.5, 0.1, 7, 1, 2, 8, 3, 4, 9}};
  RequestOptions options{.format = LoadFormat::rows, .rows = 2};
  auto requests = make_load_requests(kServer, kInputs, rows, options);
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_TRUE(requests[0].starts_with("POST /predict HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"));
  EXPECT_EQ(body_of(requests[0]), R"({"rows":[[0.5,0.10000000149011612,7],[1.0,2.0,8]]})");
  EXPECT_EQ(body_of(requests[1]), R"({"rows":[[3.0,4.0,9],[0.5,0.10000000149011612,7]]})");
  EXPECT_TRUE(has(requests[0], "\r\nContent-Length: 50\r\n")) << requests[0];

  options = {.format = LoadFormat::json, .model = "m", .rows = 1, .token = "secret"};
  requests = make_load_requests(kServer, kInputs, rows, options);
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_TRUE(requests[0].starts_with("POST /v2/models/m/infer HTTP/1.1\r\n"));
  EXPECT_TRUE(has(requests[0], "\r\nAuthorization: Bearer secret\r\n"));
  EXPECT_EQ(
      body_of(requests[0]),
      R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[0.5,0.10000000149011612]},)"
      R"({"name":"n","datatype":"INT64","shape":[1],"data":[7]}]})");

  options = {.format = LoadFormat::binary, .model = "m", .rows = 3};
  requests = make_load_requests(kServer, kInputs, rows, options);
  ASSERT_EQ(requests.size(), 1U);
  const size_t at = requests[0].find("Inference-Header-Content-Length: ");
  ASSERT_NE(at, std::string::npos);
  const size_t json_size = std::stoul(requests[0].substr(at + 33));
  const std::string body = body_of(requests[0]);
  ASSERT_EQ(body.size(), json_size + 3 * (2 * 4 + 8));
  const Value json = Value::from_json(body.substr(0, json_size));
  EXPECT_EQ(json.at("parameters").at("binary_data_output"), Value(true));
  EXPECT_EQ(json.at("inputs").as_array()[0].at("parameters").at("binary_data_size"), Value(24));
  EXPECT_EQ(json.at("inputs").as_array()[1].at("shape"), Value(Value::Array{3}));
  float third = 0.0F;
  std::memcpy(&third, body.data() + json_size + 8, 4);
  EXPECT_EQ(third, 1.0F);
  int64_t last = 0;
  std::memcpy(&last, body.data() + body.size() - 8, 8);
  EXPECT_EQ(last, 9);
}

TEST(LoadRequests, cells_of_a_table_are_sent_in_each_format) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "t.csv") << "age,city\n007,\"Rome, \"\"R\"\"\"\n,Oslo\n";
  const LoadRows rows = read_load_cells(folder / "t.csv");
  EXPECT_EQ(rows.rows, 2);
  EXPECT_EQ(rows.columns, 2);
  const std::vector<TensorMetadata> table = {
      {.name = "input", .type = WireType::bytes, .shape = {-1, 2}}};
  const auto body = [&](LoadFormat format) {
    return body_of(make_load_requests(kServer, table, rows, {.format = format, .rows = 2}).at(0));
  };
  EXPECT_EQ(body(LoadFormat::rows), R"({"rows":[["007","Rome, \"R\""],["","Oslo"]]})");
  EXPECT_TRUE(has(body(LoadFormat::json), R"("data":["007","Rome, \"R\"","","Oslo"])"));
  const std::string binary = body(LoadFormat::binary);
  std::string cells;
  for (const char* cell : {"007", "Rome, \"R\"", "", "Oslo"}) append_bytes_element(cells, cell);
  EXPECT_TRUE(binary.ends_with("}" + cells)) << binary;
  EXPECT_EQ(make_load_requests(kServer, table, rows, {}).size(), 2U);
}

TEST(LoadRequests, made_up_rows_follow_the_metadata_and_the_seed) {
  const std::string metadata =
      R"({"name":"m","inputs":[{"name":"a","datatype":"UINT8","shape":[-1,2,3]},
          {"name":"b","datatype":"BYTES","shape":[-1,1]},{"name":"c","datatype":"BOOL","shape":[-1]},
          {"name":"d","datatype":"FP64","shape":[-1,2]}]})";
  const auto inputs = inputs_of_metadata(metadata);
  ASSERT_EQ(inputs.size(), 4U);
  EXPECT_EQ(inputs[0].shape, (std::vector<int64_t>{-1, 2, 3}));
  RequestOptions options{.model = "m", .rows = 5, .requests = 4, .seed = 1};
  for (const auto format : {LoadFormat::rows, LoadFormat::json, LoadFormat::binary}) {
    options.format = format;
    const auto requests = make_load_requests(kServer, inputs, {}, options);
    EXPECT_EQ(requests.size(), 4U);
    EXPECT_NE(requests[0], requests[1]);
    EXPECT_EQ(make_load_requests(kServer, inputs, {}, options), requests);
    options.seed = 2;
    EXPECT_NE(make_load_requests(kServer, inputs, {}, options), requests);
    options.seed = 1;
  }
  options.format = LoadFormat::json;
  const Value json = Value::from_json(body_of(make_load_requests(kServer, inputs, {}, options)[0]));
  const auto& sent = json.at("inputs").as_array();
  EXPECT_EQ(sent[0].at("data").as_array().size(), 30U);
  for (const auto& each : sent[0].at("data").as_array()) EXPECT_LT(each.as_int(), 256);
  EXPECT_TRUE(sent[1].at("data").as_array()[0].is_string());
  EXPECT_TRUE(sent[2].at("data").as_array()[0].is_bool());
  EXPECT_EQ(sent[3].at("data").as_array().size(), 10U);
}

TEST(LoadRequests, rows_come_from_npy_and_csv_files) {
  const test::TemporaryFolder folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  readers::write_npy(folder / "x.npy", readers::Array::of<float>({2, 2, 2}, values));
  const LoadRows npy = read_load_rows(folder / "x.npy");
  EXPECT_EQ(npy.rows, 2);
  EXPECT_EQ(npy.columns, 4);
  EXPECT_EQ(npy.values, (std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8}));
  std::ofstream(folder / "x.csv") << "a,b\n0.5,1\n2,3\n4,5\n";
  const LoadRows csv = read_load_rows(folder / "x.csv");
  EXPECT_EQ(csv.rows, 3);
  EXPECT_EQ(csv.columns, 2);
  EXPECT_EQ(csv.values.back(), 5.0);
  const std::vector<uint64_t> large = {1};
  readers::write_npy(folder / "y.npy", readers::Array::of<uint64_t>({1}, large));
  EXPECT_THROW(read_load_rows(folder / "y.npy"), DataError);
}

TEST(LoadRequests, a_server_without_metadata_gets_the_rows_as_they_are) {
  const LoadRows rows{.rows = 1, .columns = 2, .values = {0.25, 3}};
  const auto requests =
      make_load_requests(kServer, {}, rows, {.format = LoadFormat::rows, .path = "/invocations"});
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_TRUE(requests[0].starts_with("POST /invocations "));
  EXPECT_EQ(body_of(requests[0]), R"({"rows":[[0.25,3.0]]})");
  EXPECT_THROW(make_load_requests(kServer, {}, {}, {.format = LoadFormat::rows}), ConfigError);
  EXPECT_THROW(make_load_requests(kServer, {}, rows, {.format = LoadFormat::json}), ConfigError);
}

TEST(LoadRequests, models_of_half_precision_get_float32) {
  const LoadRows rows{.rows = 1, .columns = 1, .values = {0.5}};
  for (const WireType type : {WireType::fp16, WireType::bf16}) {
    const auto request = [&](LoadFormat format) {
      return body_of(make_load_requests(kServer, {{.name = "x", .type = type, .shape = {-1, 1}}},
                                        rows, {.format = format, .model = "m"})
                         .at(0));
    };
    EXPECT_EQ(request(LoadFormat::json),
              R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[0.5]}]})");
    EXPECT_TRUE(request(LoadFormat::binary).ends_with(std::string("}\0\0\0\x3f", 5)));
  }
}

TEST(LoadRequests, what_does_not_fit_is_refused) {
  const LoadRows rows{.rows = 1, .columns = 2, .values = {0.25, 3}};
  EXPECT_THROW(make_load_requests(kServer, kInputs, rows, {}), ConfigError);
  EXPECT_THROW(make_load_requests(kServer, kInputs, {}, {.rows = 0}), ConfigError);
  EXPECT_THROW(make_load_requests(kServer, kInputs, {}, {.rows = INT64_MAX}), ConfigError);
  for (const auto& shape :
       {std::vector<int64_t>{-1, -1}, std::vector<int64_t>{-1, 1 << 30, 1 << 30, 1 << 30}}) {
    EXPECT_THROW(make_load_requests(kServer, {{.name = "x", .shape = shape}}, {}, {}), ConfigError);
  }
  for (const char* wrong : {"", "[]", "{}", R"({"inputs":[{"name":"x"}]})",
                            R"({"inputs":[{"name":"x","datatype":"FP31","shape":[1]}]})"}) {
    EXPECT_THROW(inputs_of_metadata(wrong), DataError) << wrong;
  }
  EXPECT_THROW(load_format("xml"), ConfigError);
}

}  // namespace levin::load_requests_test
