#include <levin/callbacks/layer_shapes.h>

#include "callbacks/fixture.h"

namespace levin::test::layer_shapes_test {

/// "Type: in -> out".
template <class Layer>
std::string shown(const Layer& layer) {
  const LayerSize size = layer_shapes(*layer);
  return layer_type(*layer) + ": " + size.in + " -> " + size.out;
}

TEST(LayerShapes, are_what_the_weights_determine) {
  namespace nn = torch::nn;
  EXPECT_EQ(shown(nn::Linear(4, 3)), "Linear: [*, 4] -> [*, 3]");
  EXPECT_EQ(shown(nn::Embedding(5, 4)), "Embedding: [*] -> [*, 4]");
  EXPECT_EQ(shown(nn::LayerNorm(nn::LayerNormOptions({2, 3}))),
            "LayerNorm: [*, 2, 3] -> [*, 2, 3]");
  EXPECT_EQ(shown(nn::BatchNorm1d(7)), "BatchNorm1d: [*, 7] -> [*, 7]");
  EXPECT_EQ(shown(nn::Conv2d(3, 8, 5)), "Conv2d:  -> [*, 8, *, *]");
  EXPECT_EQ(shown(nn::ConvTranspose1d(3, 8, 5)), "ConvTranspose1d: [*, 3, *] -> ");
  EXPECT_EQ(shown(nn::ReLU()), "ReLU:  -> ");
}

}  // namespace levin::test::layer_shapes_test
