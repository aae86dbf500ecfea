// Everything for the CPU. Link skv::cpu.
#pragma once

#include <skv/base/config.hpp>
#include <skv/calibrate/calibrate.hpp>
#include <skv/cpu/archive.hpp>
#include <skv/cpu/codec.hpp>
#include <skv/cpu/tensor_codec.hpp>
#include <skv/format/container.hpp>
#include <skv/predict/none.hpp>
#include <skv/predict/previous_token.hpp>
#include <skv/predict/reference.hpp>
#include <skv/profile/profile.hpp>
