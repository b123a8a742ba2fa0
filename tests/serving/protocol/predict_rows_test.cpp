#include <levin/serving/protocol/predict_rows.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/datamodules/readers/npy_header.h>

namespace levin::predict_rows_test {

using Shape = std::vector<int64_t>;
using Texts = std::vector<std::string_view>;

constexpr const char* kJson = "application/json";

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

ModelMetadata numbers(const Shape& shape, WireType type = WireType::fp32) {
  return {.name = "m", .version = "2", .inputs = {{"input", type, shape}}};
}

ModelMetadata table() {
  return {.name = "t",
          .version = "1",
          .inputs = {{"input", WireType::bytes, {-1, 2}}},
          .kind = InputKind::table,
          .columns = {"age", "city"}};
}

WireTensor read(const std::string& type, const std::string& body, const ModelMetadata& model) {
  const auto request = parse_predict_rows(type, body, model);
  EXPECT_EQ(request.model, model.name);
  EXPECT_EQ(request.inputs.at(0).name, "input");
  return request.inputs.at(0);
}

std::string refusal_of(const std::string& type, const std::string& body, const ModelMetadata& model,
                       int status = 400) {
  try {
    parse_predict_rows(type, body, model);
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.status(), status) << refusal.what();
    return refusal.what();
  }
  return "";
}

TEST(PredictRows, json_rows_may_be_nested_or_flat) {
  const auto image = numbers({-1, 2, 2});
  const auto flat = read(kJson, R"({"rows": [[1,2,3,4],[5,6,7,8]]})", image);
  EXPECT_EQ(flat.shape, (Shape{2, 2, 2}));
  EXPECT_EQ(flat.data, raw<float>({1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(read("", R"( {"instances": [[[1,2],[3,4]]]})", image).data, raw<float>({1, 2, 3, 4}));
  EXPECT_EQ(read(kJson, R"({"rows": [1.5, 2]})", numbers({-1, 1})).data, raw<float>({1.5F, 2}));
  EXPECT_EQ(read(kJson, R"({"rows": [1.5, 2]})", numbers({-1})).shape, (Shape{2}));
  EXPECT_EQ(read(kJson, R"({"rows": [[1,2,3],[4,5,6]]})", numbers({-1, -1})).shape, (Shape{2, 3}));
  EXPECT_EQ(refusal_of(kJson, R"({"rows": [[1,2,3,4],[1,2,3]]})", image),
            "rows[1] has 3 elements, but its shape [2, 2] has 4");
  EXPECT_EQ(refusal_of(kJson, R"({"rows": [[1,2,3,"x"]]})", image),
            "rows[0]: element 3 is a string, which isn't FP32");
  EXPECT_EQ(refusal_of(kJson, R"({"rows": [1]})", image),
            "rows[0] must be an array, but is a number");
  EXPECT_EQ(refusal_of(kJson, R"({"rows": []})", image), "rows is empty");
  EXPECT_EQ(refusal_of(kJson, R"({"row": []})", image), "rows is missing");
}

TEST(PredictRows, rows_of_another_shape_with_as_many_numbers_are_refused) {
  const auto image = numbers({-1, 3, 1, 2});
  EXPECT_EQ(read(kJson, R"({"rows": [[[1,2],[3,4],[5,6]]]})", image).shape, (Shape{1, 3, 1, 2}));
  EXPECT_EQ(read(kJson, R"({"rows": [[1,2,3,4,5,6]]})", image).shape, (Shape{1, 3, 1, 2}));
  EXPECT_EQ(
      refusal_of(kJson, R"({"rows": [[1,2,3,4,5,6], [[1,2,3],[4,5,6]]]})", image),
      "rows[1] has the shape [2, 3], but a row of the model has [3, 1, 2]; nest it so, or send "
      "its numbers in one array");
  EXPECT_NE(refusal_of(kJson, R"({"rows": [[[1,2],[3,4]]]})", numbers({-1, 4})), "");
  // An array in place of an object is JSON, too, whose message says what is missing.
  EXPECT_EQ(refusal_of("application/x-www-form-urlencoded", "[[1,2,3,4]]", image),
            "the body must be a JSON object, but is an array");
}

TEST(PredictRows, texts_are_read_for_models_of_half_precision) {
  for (const WireType type : {WireType::bf16, WireType::fp16}) {
    const auto model = numbers({-1, 2}, type);
    for (const auto& rows :
         {read(kJson, R"({"rows": [[1.5,2]]})", model), read("text/csv", "1.5,2\n", model)}) {
      EXPECT_EQ(rows.type, WireType::fp32);
      EXPECT_EQ(rows.data, raw<float>({1.5F, 2}));
    }
  }
}

TEST(PredictRows, npy_may_be_one_row_of_each_shape_that_a_row_may_have) {
  const auto image = numbers({-1, 1, 2, 3});
  const auto shape_of = [&](const Shape& shape) {
    return read("", readers::npy_header(readers::DType::uint8, shape) + "123456", image).shape;
  };
  EXPECT_EQ(shape_of({2, 3}), (Shape{1, 2, 3}));
  EXPECT_EQ(shape_of({6}), (Shape{1, 6}));
  EXPECT_EQ(shape_of({1, 2, 3}), (Shape{1, 1, 2, 3}));
  EXPECT_EQ(shape_of({1, 6}), (Shape{1, 6}));
  EXPECT_EQ(shape_of({3, 2}), (Shape{3, 2}));  // which the model refuses
}

TEST(PredictRows, json_rows_of_tables_are_cells_or_objects) {
  const auto cells =
      read(kJson, R"({"rows": [[31,"Rome"],{"city":"Oslo","age":0.5},{"city":null}]})", table());
  EXPECT_EQ(cells.shape, (Shape{3, 2}));
  EXPECT_EQ(bytes_elements(cells), (Texts{"31", "Rome", "0.5", "Oslo", "", ""}));
  // As pandas writes a missing cell.
  EXPECT_EQ(bytes_elements(read(kJson, R"({"rows": [{"age":NaN,"city":"NaN"}]})", table())),
            (Texts{"", "NaN"}));
  EXPECT_EQ(refusal_of(kJson, R"({"rows": [{"town":"Oslo"}]})", table()),
            "rows[0] has 'town', which isn't a column of the model; its columns are age, city");
  EXPECT_EQ(refusal_of(kJson, R"({"rows": [[1,2,3]]})", table()),
            "rows[0] has 3 cells, but the model has 2 columns: age, city");
  EXPECT_EQ(refusal_of(kJson, R"({"rows": [[1,[2]]]})", table()),
            "rows[0][1] must be a text or a number, but is an array");
}

TEST(PredictRows, reads_csv_with_and_without_a_header) {
  const auto model = numbers({-1, 2});
  EXPECT_EQ(read("text/csv", "1,2\r\n\n3,4.5\n", model).data, raw<float>({1, 2, 3, 4.5F}));
  EXPECT_EQ(read("Text/CSV; charset=utf-8", "a,b\n1,2", model).shape, (Shape{1, 2}));
  EXPECT_EQ(read("application/x-www-form-urlencoded", "1;2", model).data, raw<float>({1, 2}));
  EXPECT_EQ(refusal_of("text/csv", "1,2\n3,x\n", model),
            "line 2, column 2: 'x' isn't a number of type FP32");
  EXPECT_EQ(refusal_of("text/csv", "1,2.5\n", numbers({-1, 2}, WireType::int64)),
            "line 1, column 2: '2.5' isn't a number of type INT64");
  EXPECT_EQ(refusal_of("text/csv", "1,2,3\n", model),
            "line 1 has 3 cells, but a row of the model has 2");
  EXPECT_EQ(refusal_of("text/csv", "a,b\n", model), "the body has no rows");
  EXPECT_NE(refusal_of("text/csv", "1,\"2\n", model), "");
  EXPECT_NE(refusal_of("text/csv", "", model), "");
  EXPECT_EQ(bytes_elements(read("text/csv", "city,age,x\n\"Rome, \"\"R\"\"\",31,7\n", table())),
            (Texts{"31", "Rome, \"R\""}));
  EXPECT_EQ(bytes_elements(read("text/csv", "31,Rome\n,Oslo\n", table())),
            (Texts{"31", "Rome", "", "Oslo"}));
  EXPECT_EQ(refusal_of("text/csv", "city,age,city\nRome,31,Oslo\n", table()),
            "the first line names the column 'city' twice");
  EXPECT_EQ(refusal_of("text/csv", "age,town\n31,Rome\n", table()),
            "the first line names columns, but not 'city'; those of the model are age, city");
  EXPECT_EQ(refusal_of("text/csv", "31,Rome,x\n", table()),
            "line 1 has 3 cells, but the model has 2 columns: age, city");
}

TEST(PredictRows, reads_npy_in_its_own_type) {
  using readers::DType;
  const auto model = numbers({-1, 2});
  const std::string bytes("\1\2\3\4", 4);
  const auto pixels = read("", readers::npy_header(DType::uint8, Shape{2, 2}) + bytes, model);
  EXPECT_EQ(pixels.type, WireType::uint8);
  EXPECT_EQ(pixels.shape, (Shape{2, 2}));
  EXPECT_EQ(pixels.data, bytes);
  const auto row = read("application/octet-stream",
                        readers::npy_header(DType::float32, Shape{2}) + raw<float>({1, 2}), model);
  EXPECT_EQ(row.shape, (Shape{1, 2}));
  EXPECT_NE(refusal_of("application/x-npy", "nothing", model), "");
  EXPECT_NE(refusal_of("application/x-npy", readers::npy_header(DType::uint8, Shape{0, 2}), model),
            "");
  EXPECT_NE(refusal_of("", readers::npy_header(DType::float64, Shape{1 << 30, 2}), model), "");
  EXPECT_NE(refusal_of("image/png", "x", model, 415), "");
  EXPECT_NE(refusal_of("", "1,2", model, 415), "");
}

InferenceResponse classes() {
  InferenceResponse response{.model = "m", .version = "2"};
  response.outputs.push_back({"class", WireType::int64, {2}, raw<int64_t>({1, 0})});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  response.outputs.push_back(
      {"probability", WireType::fp32, {2, 2}, raw<float>({0.1F, 0.9F, nan, 0.5F})});
  return response;
}

TEST(PredictRows, answers_classes_with_their_probabilities) {
  auto model = numbers({-1, 2});
  EXPECT_EQ(write_predict_answer(classes(), model).body,
            R"({"model":"m","version":"2","predictions":[)"
            R"({"class":1,"probability":0.9,"probabilities":[0.1,0.9]},)"
            R"({"class":0,"probability":null,"probabilities":[null,0.5]}]})");
  model.class_names = {"a,b", "c"};
  EXPECT_EQ(write_predict_answer(classes(), model).body,
            R"({"model":"m","version":"2","predictions":[)"
            R"({"class":1,"class_name":"c","probability":0.9,"probabilities":[0.1,0.9]},)"
            R"({"class":0,"class_name":"a,b","probability":null,"probabilities":[null,0.5]}]})");
  const auto csv = write_predict_answer(classes(), model, "text/csv");
  EXPECT_EQ(csv.content_type, "text/csv; charset=utf-8");
  EXPECT_EQ(csv.body,
            "class,class_name,\"probability_a,b\",probability_c\n"
            "1,c,0.1,0.9\n0,\"a,b\",NaN,0.5\n");
  auto unknown = classes();  // a number that is no class stands for its name
  unknown.outputs[0].data = raw<int64_t>({1, 5});
  EXPECT_EQ(write_predict_answer(unknown, model, "text/csv").body,
            "class,class_name,\"probability_a,b\",probability_c\n1,c,0.1,0.9\n5,5,NaN,0.5\n");
  const auto npy = write_predict_answer(classes(), model, "application/x-npy");
  const auto bytes = readers::bytes_of(npy.body);
  const auto array = readers::parse_npy({bytes.begin(), bytes.end()}, "the answer");
  EXPECT_EQ(array.shape, (Shape{2, 2}));
  EXPECT_EQ(array.values<float>()[1], 0.9F);
}

TEST(PredictRows, answers_in_the_format_that_is_wanted_most) {
  const auto type_for = [](const std::string& accept) {
    const auto type = write_predict_answer(classes(), numbers({-1, 2}), accept).content_type;
    return type.substr(0, type.find(';'));
  };
  for (const char* accept : {"", "*/*", "application/xml", "text/html, */*;q=0.1",
                             "text/csv;q=0.5, application/json", "application/json, text/csv",
                             "text/csv;q=0", "TEXT/CSV ; q=0.2 , Application/JSON;q=0.3"}) {
    EXPECT_EQ(type_for(accept), "application/json") << accept;
  }
  for (const char* accept :
       {"text/csv", "text/csv, application/json", "application/json;q=0,text/csv",
        "*/*;q=0.1, text/*", "text/csv; header=present;q=0.7, */*;q=0.5"}) {
    EXPECT_EQ(type_for(accept), "text/csv") << accept;
  }
  EXPECT_EQ(type_for("application/x-npy, text/csv;q=0.9"), "application/x-npy");
}

TEST(PredictRows, answers_values_by_the_names_of_outputs) {
  const auto model = numbers({-1, 2});
  InferenceResponse response{.model = "m", .version = "2"};
  response.outputs.push_back({"value", WireType::fp64, {2}, raw<double>({2.5, 1e300})});
  response.outputs.push_back({"group", WireType::bf16, {2, 1}, raw<uint16_t>({0x3fc0, 0xbf80})});
  EXPECT_EQ(write_predict_answer(response, model).body,
            R"({"model":"m","version":"2","predictions":[)"
            R"({"value":2.5,"group":[1.5]},{"value":1e+300,"group":[-1]}]})");
  EXPECT_EQ(write_predict_answer(response, model, "text/csv").body,
            "value,group\n2.5,1.5\n1e+300,-1\n");
  response.outputs = {{"value", WireType::fp16, {2}, raw<uint16_t>({0x3c00, 0x8001})}};
  EXPECT_EQ(write_predict_answer(response, model).body,
            R"({"model":"m","version":"2","predictions":[{"value":1},{"value":-5.9604645e-08}]})");
}

}  // namespace levin::predict_rows_test
