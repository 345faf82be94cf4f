// Bytes to a graph, a row to its image: with the imports and types as the bindings have them that the crate
// `wasi-nn` and its derivatives generate from the witx definition.
//
// Usage: nn_crate.wasm MODEL. The model maps f32 [1, 3] to f32 [1, 3].
use std::mem::MaybeUninit;

#[repr(transparent)]
struct TensorType(u8);

#[repr(C)]
struct Tensor<'a> {
    dimensions: &'a [u32],
    type_: TensorType,
    data: &'a [u8],
}

type GraphBuilder<'a> = &'a [u8];

#[link(wasm_import_module = "wasi_ephemeral_nn")]
extern "C" {
    fn load(arg0: i32, arg1: i32, arg2: i32, arg3: i32, arg4: i32) -> i32;
    fn init_execution_context(arg0: i32, arg1: i32) -> i32;
    fn set_input(arg0: i32, arg1: i32, arg2: i32) -> i32;
    fn get_output(arg0: i32, arg1: i32, arg2: i32, arg3: i32, arg4: i32) -> i32;
    fn compute(arg0: i32) -> i32;
}

const PYTORCH: i32 = 3;
const CPU: i32 = 0;
const F32: u8 = 1;

fn check(call: &str, errno: i32) {
    if errno != 0 {
        println!("{}: error {}", call, errno);
        std::process::exit(1);
    }
}

fn main() {
    let model = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let builders: &[GraphBuilder] = &[&model];
    let row = [1f32, -2.0, 3.0];
    let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = Tensor { dimensions: &[1, 3], type_: TensorType(F32), data: &bytes };
    let mut output = [0f32; 3];
    unsafe {
        let mut graph = MaybeUninit::<u32>::uninit();
        let array = (builders.as_ptr() as i32, builders.len() as i32);
        check("load", load(array.0, array.1, PYTORCH, CPU, graph.as_mut_ptr() as i32));
        let graph = graph.assume_init() as i32;
        let mut context = MaybeUninit::<u32>::uninit();
        let made = init_execution_context(graph, context.as_mut_ptr() as i32);
        check("init_execution_context", made);
        let context = context.assume_init() as i32;
        check("set_input", set_input(context, 0, &tensor as *const _ as i32));
        check("compute", compute(context));
        let mut written = MaybeUninit::<u32>::uninit();
        let size = std::mem::size_of_val(&output) as i32;
        let place = (output.as_mut_ptr() as i32, written.as_mut_ptr() as i32);
        check("get_output", get_output(context, 0, place.0, size, place.1));
        assert_eq!(written.assume_init() as i32, size);
    }
    // What the bindings pass is more than what this program reads.
    let Tensor { dimensions, type_, data } = tensor;
    assert!(dimensions.len() == 2 && type_.0 == F32 && data.len() == 12);
    println!("{:?}", output);
}
