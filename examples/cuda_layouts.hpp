// How the paged caches of engines are described: a function for each layout. docs/layouts.md says where they come
// from; cuda_layouts.cpp runs them all. Here caches are small, and sizes constants; an engine has them at run time.
#pragma once

#include <skv/cuda/pages.hpp>

namespace layouts {

using skv::cuda::paged_cache, skv::cuda::tensor_place;

constexpr std::int64_t kLayers = 2, kBlocks = 4, kTokens = 16, kHeads = 2, kDim = 128;
constexpr std::int64_t kRow = kDim * 2;                  // bytes of a head of a token, in bf16
constexpr std::int64_t kPage = kTokens * kHeads * kRow;  // bytes of K, or V, in a block

/// A tensor that lies in its block as [tokens, heads, dim], or as [heads, tokens, dim].
inline tensor_place nhd(std::int64_t offset) { return {offset, kHeads * kRow, kRow}; }
inline tensor_place hnd(std::int64_t offset) { return {offset, kRow, kTokens * kRow}; }

// --- K and V, in bf16. `blocks_dev` [items] are the numbers of blocks, as in a block table. ------

/// vLLM, planes: [2, blocks, tokens, heads, dim] for each layer; in HND its memory is
/// [2, blocks, heads, tokens, dim]. V is a plane away from K.
inline paged_cache vllm_planes(std::byte* const* layers_dev, const std::int32_t* blocks_dev,
                               bool is_nhd) {
  paged_cache c;
  c.blocks.layer_bases_dev = layers_dev;
  c.blocks.block_stride_bytes = kPage;
  c.blocks.indices_dev = blocks_dev;
  for (std::int64_t i : {0, 1})
    c.tensors[i] = is_nhd ? nhd(i * kBlocks * kPage) : hnd(i * kBlocks * kPage);
  return c;
}

/// vLLM, packed: [blocks, heads, tokens, 2 dim] for each layer; in NHD its memory is
/// [blocks, tokens, heads, 2 dim].
inline paged_cache vllm_packed(std::byte* const* layers_dev, const std::int32_t* blocks_dev,
                               bool is_nhd) {
  paged_cache c;
  c.blocks.layer_bases_dev = layers_dev;
  c.blocks.block_stride_bytes = 2 * kPage;
  c.blocks.indices_dev = blocks_dev;
  constexpr std::int64_t kPair = 2 * kRow;  // K and V of a head of a token
  for (std::int64_t i : {0, 1})
    c.tensors[i] = is_nhd ? tensor_place{i * kRow, kHeads * kPair, kPair}
                          : tensor_place{i * kRow, kPair, kTokens * kPair};
  return c;
}

/// vLLM, all layers in one allocation, packed: [blocks, layers, tokens, heads, 2 dim]; in planes:
/// [blocks, layers, 2, tokens, heads, dim].
inline paged_cache vllm_all_layers(std::byte* base, const std::int32_t* blocks_dev,
                                   bool is_packed) {
  paged_cache c;
  c.blocks.base = base;
  c.blocks.layer_stride_bytes = 2 * kPage;
  c.blocks.block_stride_bytes = kLayers * 2 * kPage;
  c.blocks.indices_dev = blocks_dev;
  for (std::int64_t i : {0, 1})
    c.tensors[i] = is_packed ? tensor_place{i * kRow, kHeads * 2 * kRow, 2 * kRow} : nhd(i * kPage);
  return c;
}

/// The same in HND: [blocks, heads, layers, tokens, 2 dim], or [blocks, heads, layers, 2, tokens, dim]. A
/// layer's block is in pieces.
inline paged_cache vllm_all_layers_hnd(std::byte* base, const std::int32_t* blocks_dev,
                                       bool is_packed) {
  constexpr std::int64_t kHead = kTokens * kRow;  // K, or V, of a head of a block
  paged_cache c;
  c.blocks.base = base;
  c.blocks.layer_stride_bytes = 2 * kHead;
  c.blocks.block_stride_bytes = kLayers * 2 * kPage;
  c.blocks.indices_dev = blocks_dev;
  for (std::int64_t i : {0, 1})
    c.tensors[i] = is_packed ? tensor_place{i * kRow, 2 * kRow, kLayers * 2 * kHead}
                             : tensor_place{i * kHead, kRow, kLayers * 2 * kHead};
  return c;
}

/// FlashInfer, one tensor: [pages, 2, tokens, heads, dim], or [pages, 2, heads, tokens, dim].
inline paged_cache flashinfer(std::byte* const* layers_dev, const std::int32_t* pages_dev,
                              bool is_nhd) {
  paged_cache c;
  c.blocks.layer_bases_dev = layers_dev;
  c.blocks.block_stride_bytes = 2 * kPage;
  c.blocks.indices_dev = pages_dev;
  for (std::int64_t i : {0, 1}) c.tensors[i] = is_nhd ? nhd(i * kPage) : hnd(i * kPage);
  return c;
}

/// FlashInfer, a pair of tensors, or SGLang's k_buffer and v_buffer: [pages, tokens, heads, dim] of K,
/// and of V, for each layer. Both have blocks of their own.
inline paged_cache k_and_v_apart(std::byte* const* k_layers_dev, std::byte* const* v_layers_dev,
                                 const std::int32_t* pages_dev) {
  paged_cache c;
  for (std::int64_t i : {0, 1}) {
    c.tensors[i] = nhd(0);
    c.tensors[i].blocks.layer_bases_dev = i == 0 ? k_layers_dev : v_layers_dev;
    c.tensors[i].blocks.block_stride_bytes = kPage;
    c.tensors[i].blocks.indices_dev = pages_dev;
  }
  return c;
}

/// TensorRT-LLM: a pool [blocks, layers, 2, heads x tokens x dim], and a table of offsets in it, in
/// pages of K or V: a row for K, one for V.
inline paged_cache tensorrt_llm(std::byte* pool, const std::int32_t* k_offsets_dev,
                                const std::int32_t* v_offsets_dev) {
  paged_cache c;
  for (std::int64_t i : {0, 1}) {
    c.tensors[i] = hnd(0);
    c.tensors[i].blocks.base = pool;
    c.tensors[i].blocks.layer_stride_bytes = 2 * kPage;
    c.tensors[i].blocks.block_stride_bytes = kPage;
    c.tensors[i].blocks.indices_dev = i == 0 ? k_offsets_dev : v_offsets_dev;
  }
  return c;
}

/// The same, of an engine that has a pointer to every block [items], where its first layer begins.
inline paged_cache tensorrt_llm_pointers(std::byte* const* blocks_dev) {
  paged_cache c;
  c.blocks.pointers_dev = blocks_dev;
  c.blocks.layer_stride_bytes = 2 * kPage;
  c.tensors[0] = hnd(0);
  c.tensors[1] = hnd(kPage);
  return c;
}

// --- Others --------------------------------------------------------------------------------------

constexpr std::int64_t kLatent = 576;         // numbers of a token
constexpr std::int64_t kScales = kHeads * 4;  // bytes of a token: a float for each head
constexpr std::int64_t kFp8Row = kDim, kFp8Page = kTokens * kHeads * kFp8Row;
constexpr std::int64_t kRecord = 512 + 16 + 128;

/// MLA: [blocks, tokens, 576] of bf16 for each layer. One tensor, of kind latent, with one head.
inline paged_cache latent(std::byte* const* layers_dev, const std::int32_t* blocks_dev) {
  paged_cache c;
  c.blocks.layer_bases_dev = layers_dev;
  c.blocks.block_stride_bytes = kTokens * kLatent * 2;
  c.blocks.indices_dev = blocks_dev;
  c.tensors[0] = {0, kLatent * 2, 0};  // no stride between heads counts where there is one
  return c;
}

/// fp8 with scales in an array of their own: K and V as FlashInfer has them, and [layers, blocks,
/// tokens, heads] floats. The scales of a block are so many contiguous bytes: opaque_bytes.
inline paged_cache fp8_and_scales(std::byte* const* layers_dev, std::byte* scales,
                                  const std::int32_t* blocks_dev) {
  paged_cache c;
  c.blocks.layer_bases_dev = layers_dev;
  c.blocks.block_stride_bytes = 2 * kFp8Page;
  c.blocks.indices_dev = blocks_dev;
  for (std::int64_t i : {0, 1}) c.tensors[i] = {i * kFp8Page, kHeads * kFp8Row, kFp8Row};
  c.tensors[2].blocks.base = scales;
  c.tensors[2].blocks.block_stride_bytes = kTokens * kScales;
  c.tensors[2].blocks.layer_stride_bytes = kBlocks * kTokens * kScales;
  c.tensors[2].blocks.indices_dev = blocks_dev;
  return c;
}

/// vLLM's fp8_ds_mla: a token is 512 numbers of e4m3, then 16 bytes of scales and 128 of bf16. What is
/// not contiguous in a block cannot be opaque: these 144 bytes are a second tensor, of e4m3.
inline paged_cache fp8_records(std::byte* const* layers_dev, const std::int32_t* blocks_dev) {
  paged_cache c;
  c.blocks.layer_bases_dev = layers_dev;
  c.blocks.block_stride_bytes = kTokens * kRecord;
  c.blocks.indices_dev = blocks_dev;
  c.tensors[0] = {0, kRecord, 0};
  c.tensors[1] = {512, kRecord, 0};
  return c;
}

}  // namespace layouts
