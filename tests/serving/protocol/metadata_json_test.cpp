#include <levin/serving/protocol/metadata_json.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace levin::metadata_json_test {

ModelMetadata sample() {
  return {.name = "di\"gits",
          .version = "2",
          .inputs = {{"input", WireType::fp32, {-1, 28, 28}}, {"text", WireType::bytes, {-1, 1}}},
          .outputs = {{"class", WireType::int64, {-1}}}};
}

TEST(MetadataJson, a_model_is_described_as_the_protocol_says) {
  EXPECT_EQ(model_metadata_json(sample(), {"1", "2"}),
            R"({"name":"di\"gits","versions":["1","2"],"platform":"levin_libtorch","inputs":[)"
            R"({"name":"input","datatype":"FP32","shape":[-1,28,28]},)"
            R"({"name":"text","datatype":"BYTES","shape":[-1,1]}],)"
            R"("outputs":[{"name":"class","datatype":"INT64","shape":[-1]}]})");
}

TEST(MetadataJson, a_config_has_the_fields_of_tritons) {
  const std::string front = R"({"name":"di\"gits","platform":"levin_libtorch","backend":"levin",)"
                            R"("version_policy":{"latest":{"num_versions":1}},"max_batch_size":)";
  EXPECT_EQ(model_config_json(sample()),
            front + R"(0,"input":[{"name":"input","data_type":"TYPE_FP32","dims":[-1,28,28]},)"
                    R"({"name":"text","data_type":"TYPE_STRING","dims":[-1,1]}],)"
                    R"("output":[{"name":"class","data_type":"TYPE_INT64","dims":[-1]}]})");
  ModelMetadata batched = sample();
  batched.max_batch = 64;
  batched.delay_us = 500;
  EXPECT_EQ(model_config_json(batched),
            front + R"(64,"input":[{"name":"input","data_type":"TYPE_FP32","dims":[28,28]},)"
                    R"({"name":"text","data_type":"TYPE_STRING","dims":[1]}],)"
                    R"("output":[{"name":"class","data_type":"TYPE_INT64","dims":[]}],)"
                    R"("dynamic_batching":{"max_queue_delay_microseconds":500}})");
}

TEST(MetadataJson, a_server_lists_its_models_and_extensions) {
  EXPECT_EQ(repository_index_json({sample(), {.name = "b", .version = "1"}}),
            R"([{"name":"di\"gits","version":"2","state":"READY","reason":""},)"
            R"({"name":"b","version":"1","state":"READY","reason":""}])");
  EXPECT_EQ(versions_of({sample(), {.name = "b", .version = "1"}}, "b"),
            std::vector<std::string>{"1"});
  EXPECT_NE(server_metadata_json().find("\"binary_tensor_data\""), std::string::npos);
}

}  // namespace levin::metadata_json_test
