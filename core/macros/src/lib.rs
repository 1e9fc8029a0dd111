//! `#[marotte::remote]`: makes the methods of an `impl` block callable from afar.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{
    Attribute, Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, ReceiverKind,
    ReturnType, Type, parse_macro_input,
};

/// Makes every method of an `impl` block that takes `&self` callable from afar, by implementing
/// `marotte::Referenceable` for the type.
///
/// - A method's name on the wire is its name in camelCase; `#[remote(name = "…")]` gives another,
///   `#[remote(skip)]` leaves the method out.
/// - Arguments are any serde types, owned; so is the result, or a `Result` of it with any error
///   that can be displayed.
/// - Methods whose names begin with an underscore stay private.
/// - `async fn` is polled once in place and becomes a task only if it suspends.
/// - A method may return a `marotte::Promise`, whose outcome becomes the answer.
/// - Further blocks of plain `impl` are untouched.
///
/// ```
/// struct Counter(std::sync::atomic::AtomicU64);
///
/// #[marotte::remote]
/// impl Counter {
///     fn add_many(&self, amount: u64) -> u64 {          // on the wire: addMany
///         self.0.fetch_add(amount, std::sync::atomic::Ordering::Relaxed) + amount
///     }
/// }
/// ```
#[proc_macro_attribute]
pub fn remote(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = Tokens::from(arguments);
    if !arguments.is_empty() {
        let error = Error::new_spanned(arguments, "#[remote] on an impl takes no arguments");
        return error.to_compile_error().into();
    }
    let block = parse_macro_input!(item as ItemImpl);
    expand(block)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn expand(mut block: ItemImpl) -> Result<Tokens, Error> {
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new_spanned(
            path,
            "#[remote] goes on an inherent impl, without a trait",
        ));
    }
    let mut arms = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let options = take_options(&mut method.attrs)?;
        let by_reference = matches!(
            method.sig.inputs.first(),
            Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, ReceiverKind::Reference(_, _, None))
        );
        if options.skip || !by_reference || method.sig.ident.to_string().starts_with('_') {
            continue;
        }
        arms.push(arm(method, options.name)?);
    }
    let this = &block.self_ty;
    let (generics, _, bounds) = block.generics.split_for_impl();
    Ok(quote! {
        #block

        impl #generics ::marotte::native::Referenceable for #this #bounds {
            fn deliver(
                self: ::std::sync::Arc<Self>,
                method: ::core::option::Option<&str>,
                mut args: ::marotte::native::Args<'_>,
            ) -> ::marotte::native::Answer {
                match method {
                    #(#arms)*
                    _ => ::marotte::native::Answer::no_such_method(method),
                }
            }
        }
    })
}

#[derive(Default)]
struct Options {
    skip: bool,
    name: Option<String>,
}

/// Takes `#[remote(…)]` off a method.
fn take_options(attributes: &mut Vec<Attribute>) -> Result<Options, Error> {
    let mut options = Options::default();
    let (ours, others) = std::mem::take(attributes)
        .into_iter()
        .partition::<Vec<_>, _>(|attribute| attribute.path().is_ident("remote"));
    *attributes = others;
    for attribute in ours {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                options.skip = true;
            } else if meta.path.is_ident("name") {
                options.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else {
                return Err(meta.error("expected `skip` or `name = \"…\"`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

/// One arm of the dispatch: take the arguments, call, answer.
fn arm(method: &ImplItemFn, name: Option<String>) -> Result<Tokens, Error> {
    let ident = &method.sig.ident;
    let wire_name = name.unwrap_or_else(|| camel_case(ident));
    let mut names = Vec::new();
    let mut types = Vec::new();
    for (index, input) in method.sig.inputs.iter().skip(1).enumerate() {
        let FnArg::Typed(input) = input else { continue };
        if let Type::Reference(reference) = &*input.ty {
            return Err(Error::new_spanned(
                reference,
                "a remote method owns its arguments; take String for &str, Vec<T> for &[T]",
            ));
        }
        // A name of our own, whatever the method calls it.
        names.push(Ident::new(&format!("argument_{index}"), ident.span()));
        types.push(&input.ty);
    }
    let taken = quote! {
        let taken = (|| -> ::core::result::Result<_, ::marotte::Error> {
            #(let #names: #types = args.take()?;)*
            args.finish()?;
            ::core::result::Result::Ok((#(#names,)*))
        })();
        let (#(#names,)*) = match taken {
            ::core::result::Result::Ok(taken) => taken,
            ::core::result::Result::Err(error) => {
                return ::marotte::native::Answer::Now(::core::result::Result::Err(error));
            }
        };
    };
    let call = if method.sig.asyncness.is_some() {
        let result = as_result(
            &method.sig.output,
            quote!(Self::#ident(&self, #(#names),*).await),
        );
        quote!(::marotte::native::reply_later(async move { #result }))
    } else if is_named(&method.sig.output, "Promise") {
        quote!(::marotte::native::Answer::Promise(Self::#ident(&self, #(#names),*)))
    } else {
        let result = as_result(&method.sig.output, quote!(Self::#ident(&self, #(#names),*)));
        quote!(::marotte::native::reply(#result))
    };
    let conditions = method
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    Ok(quote! {
        #(#conditions)*
        ::core::option::Option::Some(#wire_name) => {
            #taken
            #call
        }
    })
}

/// The call as a `Result`, whatever the method returns.
fn as_result(output: &ReturnType, call: Tokens) -> Tokens {
    if is_named(output, "Result") {
        call
    } else {
        quote!(::core::result::Result::<_, ::marotte::Error>::Ok(#call))
    }
}

/// True if the return type's last path segment has that name.
fn is_named(output: &ReturnType, name: &str) -> bool {
    let ReturnType::Type(_, returned) = output else {
        return false;
    };
    let Type::Path(path) = &**returned else {
        return false;
    };
    path.path
        .segments
        .last()
        .is_some_and(|segment| segment.ident == name)
}

fn camel_case(ident: &Ident) -> String {
    let text = ident.to_string();
    let text = text.strip_prefix("r#").unwrap_or(&text);
    let mut camel = String::with_capacity(text.len());
    let mut upper = false;
    for letter in text.chars() {
        match letter {
            '_' if !camel.is_empty() => upper = true,
            letter if upper => {
                camel.extend(letter.to_uppercase());
                upper = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}
