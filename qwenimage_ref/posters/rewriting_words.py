"""The words that the rewriter understands: {kind: {value: its synonyms, separated by |}}.

Synonyms are regular expressions; English ones are matched between word boundaries. A colour is a
base with any number of shades before it, so that `pale green` and `浅绿色` need no entries.
"""

INKS = {
    "red": "red|scarlet|crimson|ruby|vermilion|cherry|maroon|红|朱",
    "green": "green|emerald|jade|lime|olive|绿|翠",
    "blue": "blue|cobalt|azure|ultramarine|sapphire|蓝|湛",
    "yellow": "yellow|golden|gold|lemon|canary|黄|金黄|金|柠檬",
    "purple": "purple|violet|lilac|lavender|mauve|紫罗兰|紫红|紫",
    "orange": "orange|tangerine|amber|橙|橘黄|橘红|橘",
    "black": "black|ebony|onyx|黑|乌黑",
    "pink": "pink|rosy|rose|fuchsia|粉红|粉|桃红|玫红",
    "white": "white|白",
    "gray": "gr[ae]y|silver gr[ae]y|silver|银灰|灰|银",
    "beige": "beige|cream|ivory|sand|tan|米黄|米|奶油|奶白|沙|象牙",
    "sky": "sky blue|sky|天蓝|天空蓝",
    "navy": "navy blue|navy|藏青|藏蓝|海军蓝",
    "mint": "mint green|minty|mint|薄荷绿|薄荷",
}
SHADES = {
    "light": "light|pale|baby|pastel|soft|浅|淡|嫩",
    "dark": "dark|deep|midnight|深|暗",
    "": "bright|vivid|hot|neon|royal|pure|plain|snow|chalk|ash|mid|medium|jet|pitch|coal|solid|"
    "鲜|纯|亮|明|正|雪|洁|漆|墨|火|宝|草|中",
}
# backgrounds that stand for a shade of a colour that is no background
NEAREST_PAPER = {
    ("light", "blue"): "sky", ("dark", "blue"): "navy", ("", "blue"): "sky",
    ("light", "green"): "mint", ("dark", "green"): "mint", ("", "green"): "mint",
    ("light", "yellow"): "beige", ("", "yellow"): "beige", ("", "black"): "navy",
}  # fmt: skip
NEAREST_INK = {"sky": "blue", "navy": "blue", "mint": "green"}

FORMS = {
    "circle": "circular|circle|disc|disk|round dot|dot|ball|round shape|filled circle|"
    "圆圈|圆点|圆球|圆形|圆",
    "square": "square|box|block|quadrate|正方形|四方形|方形|方块|方格",
    "triangle": "triangular|triangle|pyramid|三角形|三角块|三角",
    "star": "five pointed star|star shaped|star|pentagram|五角星形|五角星|星形|星星|星",
    "diamond": "diamond|rhombus|rhomb|lozenge|菱形块|菱形|钻石形|钻石",
    "ring": "hollow circle|ring|donut|doughnut|hoop|annulus|空心圆|圆环|环形|环",
}
SIZES = {
    "large": "large|big|huge|giant|gigantic|enormous|massive|巨大|硕大|超大|大大的|大",
    "small": "small|little|tiny|mini|miniature|迷你|小小的|小",
}
_ENDS = "(?: side| hand side| edge| half)?"
PLACES = {
    "left": f"(?:on|at|to|towards|near|over on) the (?:far )?left{_ENDS}(?! of)"
    "|the left (?:side|half) of|left(?! of)|靠左|左半边",
    "right": f"(?:on|at|to|towards|near|over on) the (?:far )?right{_ENDS}(?! of)"
    "|the right (?:side|half) of|right(?! of)|靠右|右半边",
    "centre": "(?:right )?(?:in|at) the (?:very )?(?:middle|cent(?:er|re))(?: of)?|the midpoint of|"
    "in the midst of|cent(?:er|re)d|cent(?:er|re)|middle|正中央|正中间|正中|中央|中间|居中",
    "top": "(?:on|at|near) the top(?! of)|top|(?:on|at) the upper (?:side|half|edge)",
    "bottom": "(?:on|at|near) the bottom(?! of)|bottom|(?:on|at) the lower (?:side|half|edge)",
}
_LEFT, _RIGHT = (f"(?:(?:to|on|at) the )?{side}{_ENDS} of" for side in ("left", "right"))
RELATIONS = {  # relations to the shape that follows
    "left of": _LEFT,
    "right of": _RIGHT,
    "above": "above|on top of|atop|over|higher than|at the top of",
    "below": "below|beneath|underneath|under|lower than|at the bottom of",
}
RELATIONS_TO_IT = {  # relations to the shape that came first
    "left of": "(?:on|to|at) its left|(?:to|on) the left of it",
    "right of": "(?:on|to|at) its right|(?:to|on) the right of it",
    "above": "above it|on top of it|over it",
    "below": "below it|beneath it|underneath it|under it",
}
SIDES = {  # in Chinese, a relation where a shape stands before it, else a place
    "left": "左边|左侧|左面|左方|左",
    "right": "右边|右侧|右面|右方|右",
    "top": "上面|上方|上边|顶部|顶上",
    "bottom": "下面|下方|下边|底部|底下",
}
COUNTS = {
    "2": "a pair of|a couple of|two|2|[两二2][个颗只枚块]",
    "3": "a trio of|three|3|[三3][个颗只枚块]",
    "4": "four|4|[四4][个颗只枚块]",
}
GROUND = "background|backdrop|canvas|page|paper|behind it|ground|背景上|背景|底色|画布|纸上|底"
ON = "on|against|upon|in front of"
JOINTS = "and|with|while|plus|和|与|以及|还有"
MARKS = "[,;.!?，；。！？、]"  # marks separate as joints do
# words that add nothing to a scene
FILLERS = (
    "an?|the|of|is|are|sits?|stands?|lies|there|it|its|one|single|exactly|identical|equal|group|"
    "draw|paint|show|shows|showing|give|me|please|i|want|need|would|like|picture|image|poster|"
    "drawing|colou?red|in|at|to|all|very|really|that|which|says?|saying|reads?|reading|sign|word|"
    "words|text|letters?|caption|labell?ed|written|has|having|placed|shapes?|forms?|filled|coloured|"
    "请|画着|画出|画|有|是|为|的|一个|一颗|一只|一枚|个|颗|只|我|想|要|放着|放|很|写着|写有|"
    "标有|标着|字样|文字|一共|共|色|形|里|处|上|着|于|给|图案|图形|形状|海报|一张|一幅|图"
)
AT = "在"
SAYING = (
    r"(?:says?|saying|reads?|reading|spells?|spelling|labell?ed|captioned|titled|words?|text|"
    r"letters?)\s*:?\s+"
)
SAYING_CHINESE = "(?:写着|写有|写上|标有|标着|印着|文字是?|字样[是为]?)[：:]?"
