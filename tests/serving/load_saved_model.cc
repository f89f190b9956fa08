// Asks a SavedModel through LoadSavedModel, as TensorFlow Serving does.
//
// Usage: load_saved_model SAVED_MODEL SIGNATURE TEXT...
//
// Feeds the texts to every input of strings and ones to every input of numbers, and
// prints one line per output: name, tab, shape, tab, and its values separated by
// spaces.

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/public/session.h"

using tensorflow::Tensor;

int Fail(const std::string& what) {
  std::cerr << what << "\n";
  return 1;
}

Tensor Ones(tensorflow::DataType type, int64_t size) {
  Tensor tensor(type, tensorflow::TensorShape({size}));
  switch (type) {
    case tensorflow::DT_INT32:
      tensor.flat<int32_t>().setConstant(1);
      break;
    case tensorflow::DT_INT64:
      tensor.flat<int64_t>().setConstant(1);
      break;
    default:
      tensor.flat<float>().setConstant(1.0f);
  }
  return tensor;
}

template <typename T>
void PrintValues(const Tensor& tensor) {
  const auto values = tensor.flat<T>();
  for (int64_t i = 0; i < values.size(); ++i) {
    std::cout << (i == 0 ? "" : " ") << values(i);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return Fail("usage: load_saved_model SAVED_MODEL SIGNATURE TEXT...");
  tensorflow::SavedModelBundle bundle;
  const auto loaded = tensorflow::LoadSavedModel(
      tensorflow::SessionOptions(), tensorflow::RunOptions(), argv[1],
      {"serve"}, &bundle);
  if (!loaded.ok()) return Fail(loaded.ToString());

  const auto& signatures = bundle.GetSignatures();
  const auto found = signatures.find(argv[2]);
  if (found == signatures.end()) return Fail("no such signature");
  const auto& signature = found->second;

  Tensor texts(tensorflow::DT_STRING, tensorflow::TensorShape({argc - 3}));
  for (int i = 3; i < argc; ++i) texts.vec<tensorflow::tstring>()(i - 3) = argv[i];
  std::vector<std::pair<std::string, Tensor>> inputs;
  for (const auto& [name, info] : signature.inputs()) {
    const bool is_text = info.dtype() == tensorflow::DT_STRING;
    inputs.emplace_back(info.name(), is_text ? texts : Ones(info.dtype(), argc - 3));
  }
  std::vector<std::string> names, fetches;
  for (const auto& [name, info] : signature.outputs()) {
    names.push_back(name);
    fetches.push_back(info.name());
  }
  std::vector<Tensor> outputs;
  const auto ran = bundle.session->Run(inputs, fetches, {}, &outputs);
  if (!ran.ok()) return Fail(ran.ToString());

  std::cout.precision(9);
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::cout << names[i] << "\t" << outputs[i].shape().DebugString() << "\t";
    if (outputs[i].dtype() == tensorflow::DT_STRING) {
      PrintValues<tensorflow::tstring>(outputs[i]);
    } else if (outputs[i].dtype() == tensorflow::DT_INT32) {
      PrintValues<int32_t>(outputs[i]);
    } else {
      PrintValues<float>(outputs[i]);
    }
    std::cout << "\n";
  }
  return 0;
}
