//! Tensors: shaped views of slices.

use core::fmt;

/// Element types of tensors, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Type {
    /// [`Half`]
    F16 = 0,
    /// `f32`
    F32 = 1,
    /// `f64`
    F64 = 2,
    /// `u8`
    U8 = 3,
    /// `i32`
    I32 = 4,
    /// `i64`
    I64 = 5,
    /// [`Bf16`]
    Bf16 = 6,
}

impl Type {
    pub(crate) fn of(number: u32) -> Self {
        match number {
            0 => Self::F16,
            2 => Self::F64,
            3 => Self::U8,
            4 => Self::I32,
            5 => Self::I64,
            6 => Self::Bf16,
            _ => Self::F32,
        }
    }
}

/// An IEEE half-precision number, as its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Half(pub u16);

/// The upper half of an `f32`, as its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors are made of.
pub trait Element: Copy + sealed::Sealed {
    /// Its element type.
    const TYPE: Type;
    /// The element in these bytes, which are as many as it has.
    #[doc(hidden)]
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! element {
    ($type:ty, $name:ident, $read:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const TYPE: Type = Type::$name;
            fn from_bytes(bytes: &[u8]) -> Self {
                let mut array = [0; core::mem::size_of::<$type>()];
                array.copy_from_slice(bytes);
                $read(array)
            }
        }
    };
}

element!(Half, F16, |bytes| Half(u16::from_le_bytes(bytes)));
element!(f32, F32, f32::from_le_bytes);
element!(f64, F64, f64::from_le_bytes);
element!(u8, U8, u8::from_le_bytes);
element!(i32, I32, i32::from_le_bytes);
element!(i64, I64, i64::from_le_bytes);
element!(Bf16, Bf16, |bytes| Bf16(u16::from_le_bytes(bytes)));

/// Elements of a slice in row-major order, with a shape and, if the model tells its arguments apart by it, a name.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    name: &'a str,
    shape: &'a [u32],
    element_type: Type,
    data: *const u8,
    data_bytes: usize,
    elements: core::marker::PhantomData<&'a [u8]>,
}

impl<'a> Tensor<'a> {
    /// A view of `data`; the first dimension of `shape` counts rows.
    ///
    /// # Panics
    /// When `shape` does not describe exactly the elements of `data`.
    #[must_use]
    pub fn new<T: Element>(data: &'a [T], shape: &'a [u32]) -> Self {
        let described = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(u64::from(dim)));
        assert!(
            described == Some(data.len() as u64),
            "a tensor of shape {:?} was given {} elements",
            shape,
            data.len()
        );
        Self {
            name: "",
            shape,
            element_type: T::TYPE,
            data: data.as_ptr().cast(),
            data_bytes: core::mem::size_of_val(data),
            elements: core::marker::PhantomData,
        }
    }

    /// The same tensor under a name.
    #[must_use]
    pub fn named(self, name: &'a str) -> Self {
        Self { name, ..self }
    }

    /// Empty: it is known by its position.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &'a [u32] {
        self.shape
    }

    /// The type of each element.
    #[must_use]
    pub fn element_type(&self) -> Type {
        self.element_type
    }

    pub(crate) fn data(&self) -> *const u8 {
        self.data
    }

    pub(crate) fn data_bytes(&self) -> usize {
        self.data_bytes
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tensor({:?}, {:?} {:?})", self.name, self.element_type, self.shape)
    }
}
