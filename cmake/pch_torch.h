// The precompiled header of tests and examples, which include all of LibTorch through
// <levin/levin.h>.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "pch.h"
